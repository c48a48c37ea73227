//! One frame: a summary with gauges and sparklines, the table, a line of keys. Colour only repeats what the text says.

use super::snapshot::{Fares, Kind, Row};
use super::state::{Mode, State, errors};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Table, TableState, Wrap};
use std::time::Instant;

pub struct Column {
    pub title: &'static str,
    pub is_number: bool,
    width: Constraint,
    cell: fn(&State, &Row) -> String,
}

const fn column(title: &'static str, width: u16, cell: fn(&State, &Row) -> String) -> Column {
    Column { title, is_number: true, width: Constraint::Length(width), cell }
}

pub const COLUMNS: [Column; 12] = [
    Column { title: "NAME", is_number: false, width: Constraint::Min(16), cell: |_, row| indented(row) },
    Column { title: "STATUS", is_number: false, width: Constraint::Length(12), cell: |_, row| status(row) },
    Column { title: "CHECK", is_number: false, width: Constraint::Length(14), cell: |_, row| check(row) },
    column("WEIGHT", 6, |_, row| row.text("weight").to_owned()),
    column("QUEUE", 6, |_, row| row.text("qcur").to_owned()),
    column("SESSIONS", 13, |_, row| of_limit(row.text("scur"), row.text("slim"))),
    column("RATE/s", 7, |_, row| row.text("rate").to_owned()),
    column("IN/s", 8, |state, row| size(state.throughput(row).0)),
    column("OUT/s", 8, |state, row| size(state.throughput(row).1)),
    column("ERRORS", 7, |_, row| errors(row).to_string()),
    column("RESP ms", 7, |_, row| row.text("rtime").to_owned()),
    column("SINCE", 7, |_, row| row.number("lastchg").map_or_else(String::new, age)),
];

/// A row's cells, in the order of [`COLUMNS`].
#[must_use]
pub fn cells(state: &State, row: &Row) -> [String; COLUMNS.len()] {
    COLUMNS.each_ref().map(|column| (column.cell)(state, row))
}

/// The process in a few words each.
#[must_use]
pub fn summary(state: &State) -> Vec<String> {
    let s = &state.snapshot;
    let weir = s.info("Weir_version");
    let program = if weir.is_empty() {
        format!("{} {}", s.info("Name"), s.info("Version"))
    } else {
        format!("weir {weir}")
    };
    vec![
        program,
        format!("pid {}", s.info("Pid")),
        format!("up {}", s.info("Uptime")),
        format!("connections {}", of_limit(s.info("CurrConns"), s.info("Maxconn"))),
        format!("sessions/s {}", s.info("SessRate")),
        format!("idle {}%", s.info("Idle_pct")),
        format!("{} every {} s", state.address, state.interval.as_secs_f64()),
    ]
}

pub fn draw(frame: &mut Frame<'_>, state: &State, now: Instant) {
    let [head, graphs, table, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if frame.area().height > 20 { 4 } else { 0 }),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Line::from(summary(state).join("   ")).style(Modifier::BOLD), head);
    draw_graphs(frame, state, graphs);
    draw_table(frame, state, table);
    frame.render_widget(foot_line(state, now), foot);
    match &state.mode {
        Mode::Help => popup(frame, " Keys ", HELP.lines().map(Line::from).collect()),
        Mode::Details => {
            if let Some(row) = state.selected() {
                popup(frame, &format!(" {} ", row.name()), details(row));
            }
        }
        Mode::Asking { question, .. } => popup(frame, " Sure? ", vec![Line::from(question.clone())]),
        Mode::Browsing | Mode::Typing => {}
    }
}

fn draw_graphs(frame: &mut Frame<'_>, state: &State, area: Rect) {
    if area.height == 0 {
        return;
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    for (title, series, area) in
        [("sessions/s", &state.session_rates, left), ("connections", &state.connections, right)]
    {
        let room = usize::from(area.width.saturating_sub(2));
        let newest: Vec<u64> = series.iter().skip(series.len().saturating_sub(room)).copied().collect();
        let most = newest.iter().max().copied().unwrap_or(0);
        let block =
            Block::bordered().title(format!(" {title}: {} (most {most}) ", newest.last().unwrap_or(&0)));
        frame.render_widget(Sparkline::default().block(block).data(newest), area);
    }
}

fn draw_table(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let shown = state.shown();
    let rows = shown.iter().map(|row| {
        let cells = cells(state, row);
        let cells = cells.iter().zip(&COLUMNS).map(|(text, column)| {
            let line = Line::from(text.clone());
            let line = if column.is_number { line.right_aligned() } else { line };
            if column.title == "STATUS" { line.style(colour(row.fares())) } else { line }
        });
        let bold = matches!(row.kind, Kind::Frontend | Kind::Backend);
        let style = if bold { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        ratatui::widgets::Row::new(cells.map(ratatui::widgets::Cell::from).collect::<Vec<_>>()).style(style)
    });
    let titles = COLUMNS.iter().map(|column| {
        let line = Line::from(column.title);
        if column.is_number { line.right_aligned() } else { line }
    });
    let header = ratatui::widgets::Row::new(titles.map(ratatui::widgets::Cell::from).collect::<Vec<_>>())
        .style(Modifier::REVERSED);
    let table = Table::new(rows, COLUMNS.iter().map(|column| column.width))
        .header(header)
        .row_highlight_style(Modifier::REVERSED)
        .column_spacing(1);
    let mut at = TableState::new().with_selected((!shown.is_empty()).then(|| state.cursor()));
    frame.render_stateful_widget(table, area, &mut at);
    if shown.is_empty() {
        let text = if state.filter.is_empty() {
            "nothing to show here"
        } else {
            "no name contains the filter (Esc clears it)"
        };
        frame.render_widget(Paragraph::new(text).centered(), area.inner(ratatui::layout::Margin::new(2, 2)));
    }
}

fn foot_line(state: &State, now: Instant) -> Line<'static> {
    if let Mode::Typing = state.mode {
        return Line::from(format!("filter: {}_   (Enter keeps it, Esc clears it)", state.filter));
    }
    if let Some(problem) = &state.problem {
        let age = state.learned_at.map_or(0, |at| now.saturating_duration_since(at).as_secs());
        let text = format!("LOST for {age} s, what you see is old: {problem}");
        return Line::from(text).style(Style::new().fg(Color::White).bg(Color::Red));
    }
    let mut spans = vec![Span::from(format!("{}  {}", state.scope.title(), state.order.title()))];
    if !state.filter.is_empty() {
        spans.push(Span::from(format!("  filter '{}'", state.filter)));
    }
    if state.paused {
        spans.push(Span::from("  PAUSED (space goes on)").style(Modifier::BOLD));
    }
    if let Some(said) = &state.said {
        spans.push(Span::from(format!("  > {said}")).style(Modifier::BOLD));
    }
    spans.push(
        Span::from("   ? keys  / filter  o order  d drain  m maint  r ready  q quit").style(Modifier::DIM),
    );
    Line::from(spans)
}

const HELP: &str = "\
up, down, j, k      move                    1  everything
PgUp, PgDn          move by ten             2  proxies only
Home, End, g, G     first, last             3  servers only
Enter               all values of the row   4  what is not up
/                   filter by name          o  next order
Esc                 clear the filter        u  look now
space               hold the picture        q  quit

d  drain the server: no new work, what runs goes on
m  maintenance: no work at all, checks stop
r  ready again
K  cut every session of the server

Each change asks first and needs a socket with 'level admin'.";

fn details(row: &Row) -> Vec<Line<'static>> {
    let filled: Vec<String> = row.filled().map(|(name, value)| format!("{name:<16} {value}")).collect();
    let half = filled.len().div_ceil(2);
    (0..half)
        .map(|i| {
            let right = filled.get(i + half).map_or("", String::as_str);
            Line::from(format!("{:<44} {right}", filled[i]))
        })
        .collect()
}

fn popup(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>) {
    let area = frame.area();
    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let wide = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let high = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect {
        x: area.x + (area.width - wide) / 2,
        y: area.y + (area.height - high) / 2,
        width: wide,
        height: high,
    };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), place);
}

fn colour(fares: Fares) -> Style {
    match fares {
        Fares::Well => Style::new().fg(Color::Green),
        Fares::Unsure => Style::new().fg(Color::Yellow),
        Fares::Badly => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        Fares::Aside => Style::new().fg(Color::Blue),
        Fares::Unchecked => Style::new(),
    }
}

fn indented(row: &Row) -> String {
    match row.kind {
        Kind::Frontend => format!("{} (frontend)", row.text("pxname")),
        Kind::Backend => format!("{} (backend)", row.text("pxname")),
        Kind::Server | Kind::Listener => format!("  {}", row.name()),
    }
}

fn status(row: &Row) -> String {
    row.text("status").to_owned()
}

fn check(row: &Row) -> String {
    let (status, took) = (row.text("check_status"), row.text("check_duration"));
    match (status, took) {
        ("", _) => String::new(),
        (status, "") => status.to_owned(),
        (status, took) => format!("{status} {took}ms"),
    }
}

fn of_limit(now: &str, limit: &str) -> String {
    if limit.is_empty() || limit == "0" { now.to_owned() } else { format!("{now}/{limit}") }
}

/// Bytes, with four digits at the most.
fn size(bytes: u64) -> String {
    let mut bytes = bytes;
    for unit in ["", "k", "M", "G"] {
        if bytes < 10_000 {
            return format!("{bytes}{unit}");
        }
        bytes /= 1024;
    }
    format!("{bytes}T")
}

/// Seconds in the two largest units.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::samples;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::time::Duration;

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state, Instant::now())).unwrap();
        let buffer = terminal.backend().buffer();
        (0..height).map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n").collect()
    }

    fn state() -> State {
        let mut state = State::new("/run/x".into(), Duration::from_secs(2), String::new());
        state.learn(samples::snapshot(), Instant::now());
        state
    }

    #[test]
    fn frames() {
        let mut state = state();
        let text = screen(&state, 130, 24);
        for wanted in
            ["HAProxy 2.6.12", "3/100", "web (frontend)", "app/s2", "DOWN 1/2", "L4CON", "1d01h", "1h01m"]
        {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        state.mode = Mode::Details;
        assert!(screen(&state, 130, 24).contains("pxname"));
        state.lost("gone".into());
        assert!(screen(&state, 130, 24).contains("LOST for 0 s"));
    }

    /// No size of the terminal may be too small to draw in.
    #[test]
    fn any_size() {
        for mode in [Mode::Browsing, Mode::Help, Mode::Details] {
            let mut state = state();
            state.mode = mode;
            for (width, height) in [(1, 1), (2, 3), (20, 5), (80, 24), (300, 100)] {
                screen(&state, width, height);
            }
        }
    }

    #[test]
    fn figures() {
        assert_eq!(
            [size(9999), size(10_240), size(20 << 20), size(20 << 30)],
            ["9999", "10k", "20M", "20G"].map(String::from)
        );
        assert_eq!(
            [age(5), age(65), age(3660), age(90_000)],
            ["5s", "1m05s", "1h01m", "1d01h"].map(String::from)
        );
    }
}
