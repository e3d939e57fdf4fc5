//! `?slice=`: what is read means what NumPy means.

use bolero::{TypeGenerator, check, produce};
use girih_model::Slice;

use crate::edits::Edits;
use crate::limits::{SHORT, blames_the_caller, limited};

#[derive(Debug, Clone, TypeGenerator)]
enum Dim {
    Index(Number),
    Range(Option<Number>, Option<Number>, Option<Number>),
    Ellipsis,
}

/// Numbers near the length of an axis, and the others.
#[derive(Debug, Clone, Copy, TypeGenerator)]
enum Number {
    Small(#[generator(-9_i64..=9)] i64),
    Any(i64),
}

impl Number {
    fn get(self) -> i64 {
        match self {
            Self::Small(n) | Self::Any(n) => n,
        }
    }
}

#[derive(Debug, Clone, TypeGenerator)]
struct Input {
    #[generator(produce::<Vec<Dim>>().with().len(0usize..=4))]
    dims: Vec<Dim>,
    #[generator(produce::<Vec<u64>>().with().len(0usize..=4).values(0_u64..=7))]
    shape: Vec<u64>,
    spaces: bool,
    brackets: bool,
}

impl Input {
    fn text(&self) -> String {
        let bound = |n: &Option<Number>| n.map_or(String::new(), |n| n.get().to_string());
        let dims = self.dims.iter().map(|dim| match dim {
            Dim::Index(n) => n.get().to_string(),
            Dim::Range(start, stop, None) => format!("{}:{}", bound(start), bound(stop)),
            Dim::Range(start, stop, step) => format!("{}:{}:{}", bound(start), bound(stop), bound(step)),
            Dim::Ellipsis => "...".into(),
        });
        let text = dims.collect::<Vec<_>>().join(if self.spaces { " , " } else { "," });
        if self.brackets { format!("[{text}]") } else { text }
    }

    /// Positions along each axis, and whether the axis stays; `None` where NumPy raises an error.
    fn expected(&self) -> Option<Vec<(Vec<u64>, bool)>> {
        let is_ellipsis = |dim: &&Dim| matches!(dim, Dim::Ellipsis);
        let ellipses = self.dims.iter().filter(is_ellipsis).count();
        let missing = self.shape.len().checked_sub(self.dims.len() - ellipses).filter(|_| ellipses <= 1)?;
        let whole = Dim::Range(None, None, None);
        let mut dims: Vec<&Dim> = Vec::new();
        for dim in &self.dims {
            match dim {
                Dim::Ellipsis => dims.extend(std::iter::repeat_n(&whole, missing)),
                dim => dims.push(dim),
            }
        }
        dims.resize(self.shape.len(), &whole);
        dims.into_iter().zip(&self.shape).map(|(dim, len)| axis(dim, i128::from(*len))).collect()
    }
}

/// The rule of Python's reference, "Slicings": the items with index `i + n·k` between `i` and `j`.
fn axis(dim: &Dim, len: i128) -> Option<(Vec<u64>, bool)> {
    let from_end = |n: Number| i128::from(n.get()) + if n.get() < 0 { len } else { 0 };
    match dim {
        Dim::Ellipsis => None,
        Dim::Index(n) => (0..len).contains(&from_end(*n)).then(|| (vec![from_end(*n) as u64], false)),
        Dim::Range(start, stop, step) => {
            let step = step.map_or(1, |step| i128::from(step.get()));
            let (lowest, highest, first, end) = match step {
                0 => return None,
                1.. => (0, len, 0, len),
                _ => (-1, len - 1, len - 1, -1),
            };
            let i = start.map_or(first, |n| from_end(n).clamp(lowest, highest));
            let j = stop.map_or(end, |n| from_end(n).clamp(lowest, highest));
            let chosen = |at: &i128| if step > 0 { i <= *at && *at < j } else { j < *at && *at <= i };
            let mut chosen: Vec<i128> = (0..len).filter(chosen).filter(|at| (at - i) % step == 0).collect();
            if step < 0 {
                chosen.reverse();
            }
            Some((chosen.into_iter().map(|at| at as u64).collect(), true))
        }
    }
}

#[test]
fn follows_numpy() {
    check!().with_test_time(SHORT).with_type::<Input>().for_each(|input| {
        let fitted = Slice::parse(&input.text()).and_then(|slice| {
            assert_eq!(Slice::parse(&slice.to_string()).unwrap(), slice);
            slice.fit(&input.shape)
        });
        let found = fitted.map(|fitted| -> Vec<(Vec<u64>, bool)> {
            let axes = fitted.0.iter();
            axes.map(|axis| ((0..axis.count).map(|n| axis.at(n)).collect(), axis.keep)).collect()
        });
        if let Err(error) = &found {
            blames_the_caller(error);
        }
        assert_eq!(found.ok(), input.expected(), "{} of {:?}", input.text(), input.shape);
    });
}

#[test]
fn any_text() {
    const WORDS: [&str; 9] = ["...", ":", ",", "-", "[", "]", "9223372036854775808", "-9223372036854775808", "٣"];
    const SHAPES: [&[u64]; 5] = [&[], &[0], &[3, 4], &[u64::MAX], &[1 << 62, 1 << 62, 5]];
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        let text = edits.text(&["1:5:2,-1", "...,::-1", "[0, 1]", ""], &WORDS);
        let parsed = limited(1 << 20, || Slice::parse(&text));
        for shape in SHAPES {
            if let Err(error) = parsed.clone().and_then(|slice| slice.fit(shape)) {
                blames_the_caller(&error);
            }
        }
    });
}
