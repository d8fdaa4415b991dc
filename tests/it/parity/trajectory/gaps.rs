//! How far two runs are apart, and how far they may be.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::recorded::{Named, Step};

/// The largest differences between two runs; infinite where a number is none on one side alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gaps {
    /// Relative, of the loss.
    pub loss: f64,
    /// Relative, of the weighted KL term, or of 0.01 where it is less: at first it is zero.
    pub kl: f64,
    /// Relative, of the learning rate.
    pub rate: f64,
    /// Relative, of the norm of all gradients.
    pub grad_norm: f64,
    /// Relative, of any module's norm; of a cosine the difference.
    pub norms: f64,
    /// One less the cosine of a trained tensor's change.
    pub turned: f64,
    /// Relative, of the norm of a trained tensor's change.
    pub length: f64,
}

/// The bounds: what single precision leaves of equal mathematics over fifty updates that feed rounding back.
pub const BOUNDS: Gaps = Gaps {
    loss: 1e-4,
    kl: 1e-4,
    // nine digits were written
    rate: 1e-8,
    grad_norm: 1e-3,
    norms: 1e-3,
    turned: 1e-3,
    length: 1e-3,
};

impl Gaps {
    fn both(self, other: Self) -> Self {
        Self {
            loss: self.loss.max(other.loss),
            kl: self.kl.max(other.kl),
            rate: self.rate.max(other.rate),
            grad_norm: self.grad_norm.max(other.grad_norm),
            norms: self.norms.max(other.norms),
            turned: self.turned.max(other.turned),
            length: self.length.max(other.length),
        }
    }

    /// The measured series that shows a difference best, with the difference in its bound, the KL term's own number aside or
    /// not. The learning rate is no measurement, and a number that one side alone has tells nothing.
    pub fn best(self, with_kl: bool) -> (&'static str, f64) {
        let shares = [
            ("loss", self.loss / BOUNDS.loss),
            ("gradient norm", self.grad_norm / BOUNDS.grad_norm),
            ("norms", self.norms / BOUNDS.norms),
            ("kl", if with_kl { self.kl / BOUNDS.kl } else { 0.0 }),
        ];
        let told = shares.into_iter().filter(|(_, share)| share.is_finite());
        let more = |left: (_, f64), right: (_, f64)| if right.1 > left.1 { right } else { left };
        told.fold(("nothing", 0.0), more)
    }

    /// The largest difference, in its bound; above one the runs are not the same.
    pub fn of_bounds(self) -> f64 {
        let shares = [
            self.loss / BOUNDS.loss,
            self.kl / BOUNDS.kl,
            self.rate / BOUNDS.rate,
            self.grad_norm / BOUNDS.grad_norm,
            self.norms / BOUNDS.norms,
            self.turned / BOUNDS.turned,
            self.length / BOUNDS.length,
        ];
        shares.into_iter().fold(0.0, f64::max)
    }
}

fn relative(found: f64, expected: f64) -> f64 {
    if found == expected || (found.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let gap = ((found - expected) / expected).abs();
    if gap.is_nan() { f64::INFINITY } else { gap }
}

/// Steps of two runs, by every series that the expected one has.
pub fn of_steps(found: (&[String], &[Step]), expected: (&[String], &[Step])) -> Gaps {
    assert_eq!(found.1.len(), expected.1.len());
    let pairs = found.1.iter().zip(expected.1);
    let gaps = pairs.map(|(left, right)| Gaps {
        loss: relative(left.loss, right.loss),
        kl: of_kl(left.kl, right.kl),
        rate: relative(left.rate, right.rate),
        grad_norm: relative(left.grad_norm, right.grad_norm),
        norms: of_series((found.0, left), (expected.0, right)),
        ..Gaps::default()
    });
    gaps.fold(Gaps::default(), Gaps::both)
}

fn of_kl(found: Option<f64>, expected: Option<f64>) -> f64 {
    match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() / expected.max(0.01),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    }
}

fn of_series(found: (&[String], &Step), expected: (&[String], &Step)) -> f64 {
    let (left, right) = (found.1.series(), expected.1.series());
    let mut most: f64 = 0.0;
    for (name, values) in right {
        let ours = left
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not measured"));
        let ours: BTreeMap<&String, &f64> = found.0.iter().zip(ours).collect();
        for (module, value) in expected.0.iter().zip(values) {
            let gap = match name {
                "b_cosine_previous" => relative(1.0 + *ours[module], 1.0 + value),
                _ => relative(*ours[module], value),
            };
            most = most.max(gap);
        }
    }
    most
}

/// The ways that two runs went from `start`, tensor by tensor.
pub fn of_ends(start: &Named, found: &Named, expected: &Named) -> Gaps {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let change = |to: &Named, name: &String| (&to[name] - &start[name]).to_kind(Kind::Double);
    let names = expected.keys();
    let gaps = names.map(|name| of_changes(&change(found, name), &change(expected, name)));
    gaps.fold(Gaps::default(), Gaps::both)
}

fn of_changes(found: &Tensor, expected: &Tensor) -> Gaps {
    let norm = |tensor: &Tensor| tensor.norm().double_value(&[]);
    let (left, right) = (norm(found), norm(expected));
    let dot = (found * expected).sum(Kind::Double).double_value(&[]);
    let turned = if left * right > 0.0 {
        1.0 - dot / (left * right)
    } else {
        0.0
    };
    Gaps {
        turned,
        length: relative(left, right),
        ..Gaps::default()
    }
}
