//! Moving a rectangular part of one C-order buffer into another.

/// One side of a copy: where the first item lies and how far apart its neighbours are, in bytes.
#[derive(Debug, Clone)]
pub(in crate::format) struct Layout {
    pub start: usize,
    pub strides: Vec<isize>,
}

/// Strides, in bytes, of a C-order array.
pub(in crate::format) fn c_strides(shape: &[u64], itemsize: usize) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = itemsize as isize;
    for (at, len) in strides.iter_mut().zip(shape).rev() {
        *at = stride;
        stride = stride.saturating_mul((*len).max(1) as isize);
    }
    strides
}

/// Copies `counts` items along each axis; both layouts have one stride per axis.
pub(in crate::format) fn copy(
    to: &mut [u8],
    to_layout: &Layout,
    from: &[u8],
    from_layout: &Layout,
    counts: &[u64],
    itemsize: usize,
) {
    if counts.contains(&0) || itemsize == 0 {
        return;
    }
    // Trailing axes that lie without gaps on both sides are one run.
    let mut run = itemsize;
    let mut axes = counts.len();
    while axes > 0 {
        let last = axes - 1;
        let dense =
            counts[last] == 1 || (to_layout.strides[last] == run as isize && from_layout.strides[last] == run as isize);
        if !dense {
            break;
        }
        run *= counts[last] as usize;
        axes = last;
    }
    let mut to_at = to_layout.start as isize;
    let mut from_at = from_layout.start as isize;
    if axes == 0 {
        to[to_at as usize..][..run].copy_from_slice(&from[from_at as usize..][..run]);
        return;
    }
    let inner = axes - 1;
    let (to_step, from_step) = (to_layout.strides[inner], from_layout.strides[inner]);
    let mut index = vec![0u64; inner];
    loop {
        let row = Row { count: counts[inner] as usize, to_at, to_step, from_at, from_step };
        match run {
            1 => row.copy::<1>(to, from),
            2 => row.copy::<2>(to, from),
            4 => row.copy::<4>(to, from),
            8 => row.copy::<8>(to, from),
            16 => row.copy::<16>(to, from),
            _ => row.copy_runs(to, from, run),
        }
        // The next row: an odometer.
        let mut axis = inner;
        loop {
            let Some(next) = axis.checked_sub(1) else { return };
            axis = next;
            index[axis] += 1;
            to_at += to_layout.strides[axis];
            from_at += from_layout.strides[axis];
            if index[axis] < counts[axis] {
                break;
            }
            to_at -= to_layout.strides[axis] * counts[axis] as isize;
            from_at -= from_layout.strides[axis] * counts[axis] as isize;
            index[axis] = 0;
        }
    }
}

struct Row {
    count: usize,
    to_at: isize,
    to_step: isize,
    from_at: isize,
    from_step: isize,
}

impl Row {
    /// A run length that the compiler knows becomes one load and one store.
    fn copy<const RUN: usize>(&self, to: &mut [u8], from: &[u8]) {
        for n in 0..self.count as isize {
            let source = &from[(self.from_at + n * self.from_step) as usize..][..RUN];
            to[(self.to_at + n * self.to_step) as usize..][..RUN].copy_from_slice(source);
        }
    }

    fn copy_runs(&self, to: &mut [u8], from: &[u8], run: usize) {
        for n in 0..self.count as isize {
            let source = &from[(self.from_at + n * self.from_step) as usize..][..run];
            to[(self.to_at + n * self.to_step) as usize..][..run].copy_from_slice(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_move_with_steps_and_backwards() {
        let from: Vec<u8> = (0..24).collect(); // shape (4, 6)
        let mut to = vec![0; 6]; // shape (2, 3): rows 3 and 1, columns 0, 2, 4
        let source = Layout { start: 18, strides: vec![-12, 2] };
        copy(&mut to, &Layout { start: 0, strides: c_strides(&[2, 3], 1) }, &from, &source, &[2, 3], 1);
        assert_eq!(to, [18, 20, 22, 6, 8, 10]);
    }

    #[test]
    fn dense_parts_move_at_once() {
        let from: Vec<u8> = (0..24).collect();
        let mut to = vec![0; 24];
        let layout = Layout { start: 0, strides: c_strides(&[2, 3, 2], 2) };
        copy(&mut to, &layout, &from, &layout, &[2, 3, 2], 2);
        assert_eq!(to, from);
    }
}
