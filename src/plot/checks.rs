//! What must hold of every drawing, read from its text.
//!
//! With `VIVARIUM_FIGURES` naming a folder, the drawings are also left there, to be looked at.

use super::svg::{Area, WIDTH};
use super::{Figure, Theme, samples, text};

/// The value of an attribute of an element's tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next()
}

fn number(tag: &str, name: &str) -> f64 {
    let text = attribute(tag, name).unwrap_or_else(|| panic!("no {name} in {tag}"));
    text.parse().unwrap_or_else(|_| panic!("{name} of {tag}"))
}

/// Tags of the elements with this name, without their brackets.
fn tags<'a>(svg: &'a str, element: &str) -> Vec<&'a str> {
    let open = format!("<{element} ");
    let found = svg.match_indices(&open);
    found
        .map(|(start, _)| svg[start + 1..].split('>').next().unwrap())
        .collect()
}

fn plain(text: &str) -> String {
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&amp;", "&"),
    ];
    named
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Words with the rectangle that they take.
fn words(svg: &str) -> Vec<(String, Area)> {
    let found = svg.match_indices("<text ");
    let boxed = |(start, _): (usize, &str)| {
        let (tag, rest) = svg[start..].split_once('>').unwrap();
        let words = plain(rest.split('<').next().unwrap());
        let (x, y, size) = (number(tag, "x"), number(tag, "y"), number(tag, "font-size"));
        let width = text::width(&words, size);
        let left = match attribute(tag, "text-anchor") {
            Some("middle") => x - width / 2.0,
            Some("end") => x - width,
            _ => x,
        };
        let area = Area {
            left,
            top: y - 0.75 * size,
            width,
            height: 0.95 * size,
        };
        (words, area)
    };
    found.map(boxed).collect()
}

fn height(svg: &str) -> f64 {
    let view = attribute(tags(svg, "svg")[0], "viewBox").unwrap();
    view.split(' ').nth(3).unwrap().parse().unwrap()
}

/// Every coordinate of every shape.
fn coordinates(svg: &str) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    for element in ["polyline", "polygon"] {
        for tag in tags(svg, element) {
            for pair in attribute(tag, "points").unwrap().split(' ') {
                let (x, y) = pair.split_once(',').unwrap();
                found.push((x.parse().unwrap(), y.parse().unwrap()));
            }
        }
    }
    for tag in tags(svg, "rect").iter().filter(|tag| tag.contains(" x=")) {
        let (x, y) = (number(tag, "x"), number(tag, "y"));
        let (width, height) = (number(tag, "width"), number(tag, "height"));
        assert!(width >= 0.0 && height >= 0.0, "{tag}");
        found.extend([(x, y), (x + width, y + height)]);
    }
    for tag in tags(svg, "circle") {
        let (x, y, radius) = (number(tag, "cx"), number(tag, "cy"), number(tag, "r"));
        found.extend([(x - radius, y - radius), (x + radius, y + radius)]);
    }
    found
}

fn leave(figure: &Figure, svg: &str, theme: Theme) {
    if let Some(folder) = std::env::var_os("VIVARIUM_FIGURES") {
        let path = std::path::Path::new(&folder).join(format!("{}_{theme:?}.svg", figure.name()));
        std::fs::write(path, svg).unwrap();
    }
}

#[test]
fn every_coordinate_is_a_number_within_the_view() {
    for figure in samples::all() {
        for theme in [Theme::Light, Theme::Dark] {
            let svg = figure.svg(theme);
            leave(&figure, &svg, theme);
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{}",
                figure.name()
            );
            let height = height(&svg);
            for (x, y) in coordinates(&svg) {
                let within = (0.0..=WIDTH).contains(&x) && (0.0..=height).contains(&y);
                assert!(within, "{}: {x}, {y} of {height}", figure.name());
            }
        }
    }
}

#[test]
fn words_stay_within_the_view_and_never_overlap() {
    for figure in samples::all() {
        let svg = figure.svg(Theme::Light);
        let words = words(&svg);
        let height = height(&svg);
        for (place, (one, area)) in words.iter().enumerate() {
            let within = area.left >= 0.0
                && area.right() <= WIDTH
                && area.top >= 0.0
                && area.bottom() <= height;
            assert!(within, "{}: {one} at {area:?}", figure.name());
            for (other, beside) in &words[..place] {
                assert!(
                    !area.overlaps(beside),
                    "{}: `{one}` at {area:?} over `{other}` at {beside:?}",
                    figure.name()
                );
            }
        }
    }
}

#[test]
fn a_drawing_is_a_picture_with_a_title_and_asks_no_host() {
    for figure in samples::all() {
        let svg = figure.svg(Theme::Page);
        let rest = svg.replacen("http://www.w3.org/2000/svg", "", 1);
        for outside in ["http", "href", "url(", "<script", "<style", "@import"] {
            assert!(!rest.contains(outside), "{} holds {outside}", figure.name());
        }
        assert!(svg.contains("role=\"img\"") && svg.contains("<desc id="));
        let title = svg
            .split("-title\">")
            .nth(1)
            .unwrap()
            .split("</title>")
            .next()
            .unwrap();
        assert_eq!(plain(title), figure.title());
    }
}

#[test]
fn equal_figures_are_drawn_alike() {
    let twice = samples::all().into_iter().zip(samples::all());
    assert!(
        twice
            .into_iter()
            .all(|(one, other)| one.svg(Theme::Dark) == other.svg(Theme::Dark))
    );
}

#[test]
fn a_figure_without_values_says_so() {
    for figure in samples::empty().into_iter().chain(samples::all_null()) {
        assert!(figure.is_empty(), "{}", figure.name());
        let svg = figure.svg(Theme::Light);
        let said = ["nothing recorded", "no values", "no answers", ": no value"];
        let found = said.iter().any(|words| svg.contains(words));
        assert!(found, "{}", figure.name());
    }
    assert!(samples::realistic().iter().all(|figure| !figure.is_empty()));
}

#[test]
fn a_figure_stays_small_however_much_it_is_given() {
    for figure in samples::crowded() {
        let bytes = figure.svg(Theme::Light).len();
        assert!(bytes < 1_500_000, "{}: {bytes}", figure.name());
    }
}

#[test]
fn the_numbers_beside_a_figure_are_those_drawn() {
    for figure in samples::all() {
        let csv = figure.csv();
        let columns = csv.lines().next().unwrap().split(',').count();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        for row in reader.records() {
            assert_eq!(row.unwrap().len(), columns, "{}", figure.name());
        }
    }
}

#[cfg(feature = "server")]
#[test]
fn a_drawing_becomes_pixels_of_the_asked_width_alike_each_time() {
    for figure in samples::realistic() {
        let svg = figure.svg(Theme::Dark);
        let pixels = super::png(&svg, 1000).unwrap();
        assert_eq!(&pixels[1..4], b"PNG");
        let side = |start: usize| u32::from_be_bytes(pixels[start..start + 4].try_into().unwrap());
        assert_eq!((side(16), f64::from(side(20))), (1000, height(&svg)));
        assert_eq!(pixels, super::png(&svg, 1000).unwrap());
    }
    assert!(super::png("no drawing", 1000).is_err());
    assert!(super::png(&samples::realistic()[0].svg(Theme::Light), 100_000).is_err());
}
