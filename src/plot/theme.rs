//! Colours of the themes. Knows hues and what each is for; draws nothing.

use std::fmt::Write;

/// Which colours a figure is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on white, for a file.
    Light,
    /// Light ink on near-black, for a file.
    Dark,
    /// The reader's choice, for an SVG inside a page that holds [`page_style`].
    Page,
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ink {
    /// What everything stands on.
    Paper,
    /// Words and marks.
    Text,
    /// Words of lesser weight.
    Soft,
    /// Grid lines.
    Grid,
    /// Edges of a plot.
    Frame,
    /// A region that is pointed out.
    Shade,
    /// A series, by its number.
    Series(usize),
    /// A place between the smallest (0) and the largest (1) value of a map.
    Ramp(f64),
    /// Words on that place of a map.
    OnRamp(f64),
}

/// Colours of series; from there on dashes tell series apart.
pub(super) const HUES: usize = 7;

struct Palette {
    named: [(&'static str, &'static str); 6],
    series: [&'static str; HUES],
}

/// Hues of Okabe and Ito, without their yellow, which white swallows.
const LIGHT: Palette = Palette {
    named: [
        ("paper", "#ffffff"),
        ("text", "#1b1f24"),
        ("soft", "#535c66"),
        ("grid", "#e3e6ea"),
        ("frame", "#87909a"),
        ("shade", "#f1eae4"),
    ],
    series: [
        "#0072b2", "#d55e00", "#009e73", "#c2609a", "#d18f00", "#56b4e9", "#1b1f24",
    ],
};

/// The same hues in the same order, lighter, so that they stand out from a dark page.
const DARK: Palette = Palette {
    named: [
        ("paper", "#14171c"),
        ("text", "#e8eaed"),
        ("soft", "#aab2bc"),
        ("grid", "#2c323a"),
        ("frame", "#727b87"),
        ("shade", "#2b2420"),
    ],
    series: [
        "#4ba3e3", "#f0743a", "#1fbf92", "#e39ac6", "#f0b429", "#a5dcff", "#e8eaed",
    ],
};

/// Stops of the map cividis (Nuñez, Anderton and Renslow 2018), whose lightness rises alike for every kind of colour vision.
const RAMP: [[f64; 3]; 6] = [
    [0.0, 34.0, 78.0],
    [53.0, 69.0, 108.0],
    [102.0, 105.0, 112.0],
    [148.0, 142.0, 119.0],
    [200.0, 184.0, 102.0],
    [254.0, 232.0, 56.0],
];

impl Theme {
    /// The colour as the value of an SVG attribute.
    pub(super) fn colour(self, ink: Ink) -> String {
        let (name, light, dark) = match ink {
            Ink::Ramp(share) => return ramp(share),
            Ink::OnRamp(share) => return if share < 0.49 { "#ffffff" } else { "#000000" }.into(),
            Ink::Series(number) => {
                let hue = number % HUES;
                (format!("series-{hue}"), LIGHT.series[hue], DARK.series[hue])
            }
            Ink::Paper => named(0),
            Ink::Text => named(1),
            Ink::Soft => named(2),
            Ink::Grid => named(3),
            Ink::Frame => named(4),
            Ink::Shade => named(5),
        };
        match self {
            Self::Light => light.into(),
            Self::Dark => dark.into(),
            Self::Page => format!("var(--figure-{name},{light})"),
        }
    }
}

fn named(place: usize) -> (String, &'static str, &'static str) {
    let (name, light) = LIGHT.named[place];
    (name.to_owned(), light, DARK.named[place].1)
}

fn ramp(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let below = (place as usize).min(RAMP.len() - 2);
    let part = place - below as f64;
    let mut colour = String::from("#");
    for (low, high) in RAMP[below].iter().zip(RAMP[below + 1]) {
        let _ = write!(colour, "{:02x}", (low + (high - low) * part).round() as u8);
    }
    colour
}

/// The style sheet that a page with figures of [`Theme::Page`] holds once: the colours by the reader's preference.
pub fn page_style() -> String {
    let (light, dark) = (variables(&LIGHT), variables(&DARK));
    format!(":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}")
}

fn variables(palette: &Palette) -> String {
    let mut text = String::new();
    for (name, colour) in palette.named {
        let _ = write!(text, "--figure-{name}:{colour};");
    }
    for (number, colour) in palette.series.iter().enumerate() {
        let _ = write!(text, "--figure-series-{number}:{colour};");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |place: usize| {
            let byte = u8::from_str_radix(&colour[place..place + 2], 16).unwrap();
            let share = f64::from(byte) / 255.0;
            if share <= 0.04045 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (a, b) = (luminance(one), luminance(other));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn words_and_lines_stand_out_from_their_paper_in_both_themes() {
        for theme in [Theme::Light, Theme::Dark] {
            let paper = theme.colour(Ink::Paper);
            for ink in [Ink::Text, Ink::Soft] {
                assert!(
                    contrast(&theme.colour(ink), &paper) >= 4.5,
                    "{theme:?} {ink:?}"
                );
            }
            for number in 0..HUES {
                let colour = theme.colour(Ink::Series(number));
                assert!(contrast(&colour, &paper) >= 2.2, "{theme:?} {colour}");
            }
        }
    }

    #[test]
    fn a_map_grows_lighter_all_the_way_and_its_words_stand_out() {
        let lights: Vec<f64> = (0..=50)
            .map(|k| luminance(&ramp(f64::from(k) / 50.0)))
            .collect();
        assert!(lights.windows(2).all(|pair| pair[1] > pair[0]));
        for k in 0..=50 {
            let share = f64::from(k) / 50.0;
            let words = Theme::Light.colour(Ink::OnRamp(share));
            assert!(contrast(&words, &ramp(share)) >= 4.0, "at {share}");
        }
    }

    #[test]
    fn a_page_holds_every_colour_that_its_figures_name() {
        let style = page_style();
        for ink in [
            Ink::Paper,
            Ink::Text,
            Ink::Soft,
            Ink::Grid,
            Ink::Frame,
            Ink::Shade,
            Ink::Series(6),
        ] {
            let colour = Theme::Page.colour(ink);
            let name = colour.trim_start_matches("var(").split(',').next().unwrap();
            assert_eq!(style.matches(&format!("{name}:")).count(), 2, "{name}");
        }
    }
}
