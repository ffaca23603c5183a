//! Speed against length, as an SVG.

use std::fmt::Write as _;

use crate::contender::{Output, Who};
use crate::rounds::Measured;
use crate::work::{Bytes, Operation};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 520.0;
/// What is left free for the axes' labels and the legend.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Told apart by people who see colours differently, too (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F",
];

struct Line {
    name: String,
    ours: bool,
    /// Lengths and MiB a second.
    points: Vec<(f64, f64)>,
}

/// Each back end's and each peer's line; what signs is left out.
pub(crate) fn draw(operation: Operation, order: &[Who], results: &[Measured]) -> String {
    let lines: Vec<Line> = order
        .iter()
        .filter(|who| is_drawn(**who))
        .map(|who| Line {
            name: who.to_string(),
            ours: matches!(who, Who::Waxseal(_)),
            points: results
                .iter()
                .filter(|result| result.operation == operation)
                .filter_map(|result| Some((result.length as f64, result.speed(*who)?)))
                .collect(),
        })
        .filter(|line| !line.points.is_empty())
        .collect();
    let lengths = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.0));
    let speeds = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.1));
    let title = format!("{}: MiB/s against the plaintext's length", operation.name());
    let axes = Axes {
        x: Axis::new(lengths, 2.0, LEFT, WIDTH - RIGHT),
        y: Axis::new(speeds, 10.0, HEIGHT - BOTTOM, TOP),
    };
    let mut svg = Svg(String::new());
    svg.open(&title);
    axes.draw(&mut svg, results, operation);
    for (index, line) in lines.iter().enumerate() {
        axes.draw_line(&mut svg, index, line);
    }
    svg.0.push_str("</svg>\n");
    svg.0
}

fn is_drawn(who: Who) -> bool {
    match who {
        Who::Waxseal(setup) => !setup.signed && !setup.cached,
        Who::Age { output } => output == Output::Fresh,
        Who::AwsEsdk { signed } => !signed,
        Who::Signature => false,
        Who::Python | Who::Tink | Who::Asherah => true,
    }
}

/// A logarithmic one.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// From a power of `base` to another one, which hold all values.
    fn new(values: impl Iterator<Item = f64>, base: f64, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value.log(base).floor());
            high = high.max(value.log(base).ceil());
        }
        let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
        Axis {
            low: base.powf(low),
            high: base.powf(high),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + part * (self.to - self.from)
    }
}

struct Axes {
    x: Axis,
    y: Axis,
}

impl Axes {
    fn draw(&self, svg: &mut Svg, results: &[Measured], operation: Operation) {
        let (left, right) = (self.x.from, self.x.to);
        let (bottom, top) = (self.y.from, self.y.to);
        let mut decade = self.y.low;
        while decade <= self.y.high * 1.001 {
            let y = self.y.at(decade);
            svg.path(&format!("M{left:.1} {y:.1}H{right:.1}"), "#ddd", 1.0, "");
            svg.text(left - 8.0, y + 4.0, "end", &decade.to_string());
            decade *= 10.0;
        }
        for result in results
            .iter()
            .filter(|result| result.operation == operation)
        {
            let x = self.x.at(result.length as f64);
            svg.path(&format!("M{x:.1} {top:.1}V{bottom:.1}"), "#eee", 1.0, "");
            // 32 and 100 MiB stand close to each other.
            let down = if result.length == 32 << 20 {
                34.0
            } else {
                18.0
            };
            svg.text(
                x,
                bottom + down,
                "middle",
                &Bytes(result.length).to_string(),
            );
        }
        svg.path(
            &format!("M{left:.1} {top:.1}V{bottom:.1}H{right:.1}"),
            "#333",
            1.2,
            "",
        );
    }

    fn draw_line(&self, svg: &mut Svg, index: usize, line: &Line) {
        let colour = COLOURS[index % COLOURS.len()];
        let (width, dashes) = if line.ours { (2.6, "") } else { (1.8, "6 4") };
        let points: Vec<(f64, f64)> = line
            .points
            .iter()
            .map(|(length, speed)| (self.x.at(*length), self.y.at(*speed)))
            .collect();
        let mut path = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if number == 0 { "M" } else { "L" });
        }
        svg.path(&path, colour, width, dashes);
        for (x, y) in &points {
            let _ = writeln!(
                svg.0,
                "<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'/>"
            );
        }
        let (x, y) = (self.x.to + 24.0, self.y.to + 12.0 + 22.0 * index as f64);
        svg.path(&format!("M{x:.1} {y:.1}h26"), colour, width, dashes);
        svg.text(x + 34.0, y + 4.0, "start", &line.name);
    }
}

struct Svg(String);

impl Svg {
    fn open(&mut self, title: &str) {
        let _ = writeln!(
            self.0,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' \
             font-family='sans-serif' font-size='12' fill='#222'>\n\
             <title>{title}</title>\n\
             <rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>\n\
             <text x='{LEFT}' y='28' font-size='16'>{title}</text>"
        );
    }

    fn path(&mut self, path: &str, colour: &str, width: f64, dashes: &str) {
        let dashes = match dashes {
            "" => String::new(),
            dashes => format!(" stroke-dasharray='{dashes}'"),
        };
        let _ = writeln!(
            self.0,
            "<path d='{path}' fill='none' stroke='{colour}' stroke-width='{width}'{dashes}/>"
        );
    }

    /// The names hold nothing that would have to be escaped.
    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let _ = writeln!(
            self.0,
            "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{text}</text>"
        );
    }
}
