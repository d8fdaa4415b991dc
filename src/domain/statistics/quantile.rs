//! Quantiles of the normal and of Student's distribution, to ten digits or more for shares within [1e-6, 1 − 1e-6].

use std::f64::consts::PI;

/// The x below which a share `p` of the standard normal distribution lies, for p in (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    bisect(p, 10.0, normal_below)
}

/// The t below which a share `p` of Student's distribution with `degrees` degrees of freedom lies, for p in (0, 1).
pub fn t_quantile(p: f64, degrees: u32) -> f64 {
    // one degree of freedom has the longest tail: at p = 1 - 1e-6 its quantile is 3e5
    bisect(p, 1e9, |t| t_below(t, degrees))
}

/// *Source* the series Φ(x) = ½ + φ(x) Σ x^(2n+1) / (1·3·5…(2n+1)), whose terms all have one sign.
fn normal_below(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + density * sum
}

/// *Source* the finite sums for whole degrees of freedom: Abramowitz and Stegun 26.7.3 and 26.7.4.
fn t_below(t: f64, degrees: u32) -> f64 {
    let angle = (t / f64::from(degrees).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let odd = degrees % 2 == 1;
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    let mut next = if odd { 2 } else { 1 };
    let terms = degrees / 2;
    for _ in 0..terms {
        sum += term;
        term *= cosine * cosine * f64::from(next) / f64::from(next + 1);
        next += 2;
    }
    let within = if odd {
        (angle + sine * sum) * 2.0 / PI
    } else {
        sine * sum
    };
    0.5 + within / 2.0
}

fn bisect(p: f64, bound: f64, below: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-bound, bound);
    // each halving gives a bit; 110 go from 2e9 beyond the last bit of any quantile
    for _ in 0..110 {
        let middle = (low + high) / 2.0;
        if below(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_scipys() {
        // scipy 1.17.1, stats.norm.ppf
        for (p, expected) in NORMAL {
            // a share is known to 1e-16, and a share of 1e-6 changes by 5e-6 a unit of x: 2e-11
            assert!((normal_quantile(p) - expected).abs() < 1e-10, "{p}");
        }
    }

    #[test]
    fn t_quantiles_are_scipys() {
        // scipy 1.17.1, stats.t.ppf
        for (p, degrees, expected) in STUDENT {
            let found = t_quantile(p, degrees);
            assert!(
                (found / expected - 1.0).abs() < 1e-10,
                "{p} {degrees}: {found}"
            );
        }
    }

    const NORMAL: [(f64, f64); 4] = [
        (0.975, 1.959963984540054),
        (0.995, 2.5758293035489004),
        (0.3, -0.5244005127080409),
        (0.999999, 4.753424308817087),
    ];

    const STUDENT: [(f64, u32, f64); 8] = [
        (0.975, 1, 12.706204736174694),
        (0.975, 2, 4.302652729749462),
        (0.975, 4, 2.7764451051977934),
        (0.975, 7, 2.364624251592784),
        (0.975, 23, 2.0686576104190486),
        (0.975, 400, 1.9659123432294627),
        (0.995, 6, 3.7074280213248065),
        (0.2, 3, -0.9784723123633038),
    ];
}
