//! From a component that is coarser than the picture to all its pixels, as libjpeg's `jdsample.c` does it: weights of three
//! quarters and one quarter between neighbours; at the edges there is none.

/// The samples of a component.
pub(super) struct Plane {
    pub(super) samples: Vec<u8>,
    /// Samples from one row to the next; blocks may reach beyond the picture.
    pub(super) stride: usize,
    /// Within the picture.
    pub(super) width: usize,
    pub(super) height: usize,
    /// How many pixels a sample is for, along each axis.
    pub(super) across: usize,
    pub(super) down: usize,
}

impl Plane {
    fn line(&self, y: usize) -> &[u8] {
        &self.samples[y.min(self.height - 1) * self.stride..][..self.width]
    }

    /// A row of pixels.
    pub(super) fn row(&self, y: usize, out: &mut [u8]) {
        let near = self.line(y / self.down);
        // The line on the other side of the pixels.
        let far = || self.line(if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 });
        match (self.across, self.down) {
            (1, 1) => out.copy_from_slice(&near[..out.len()]),
            (2, 1) if self.width > 2 => {
                spread(
                    self.width,
                    out,
                    |n| u32::from(near[n]),
                    |mine, other, is_left| (3 * mine + other + if is_left { 1 } else { 2 }) >> 2,
                );
            }
            (2, 2) if self.width > 2 => {
                let far = far();
                spread(
                    self.width,
                    out,
                    |n| 3 * u32::from(near[n]) + u32::from(far[n]),
                    |mine, other, is_left| (3 * mine + other + if is_left { 8 } else { 7 }) >> 4,
                );
            }
            (1, 2) => {
                let round = if y.is_multiple_of(2) { 1 } else { 2 };
                for (pixel, (near, far)) in out.iter_mut().zip(near.iter().zip(far())) {
                    *pixel = ((3 * u32::from(*near) + u32::from(*far) + round) >> 2) as u8;
                }
            }
            _ => out.iter_mut().enumerate().for_each(|(x, pixel)| *pixel = near[x / self.across]),
        }
    }
}

/// Two pixels of each sample, one nearer to the sample before and one to that after it.
fn spread(width: usize, out: &mut [u8], sample: impl Fn(usize) -> u32, weigh: impl Fn(u32, u32, bool) -> u32) {
    for (x, pixel) in out.iter_mut().enumerate() {
        let (n, is_left) = (x / 2, x.is_multiple_of(2));
        let other = if is_left { n.saturating_sub(1) } else { (n + 1).min(width - 1) };
        *pixel = weigh(sample(n), sample(other), is_left) as u8;
    }
}
