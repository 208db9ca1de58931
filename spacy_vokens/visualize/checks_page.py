"""Show the report of `spacy vokens debug-data` as an HTML page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..checks.report import Cell, Level, Message, Section, Table, count_levels
from .page import frame_page

STYLE = """
:root { --bar: #3d6fd9; --good: #1f7a44; --info: #66625c; --warn: #8a5a00; --fail: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --bar: #86a9f5; --good: #7fd09b; --info: #a5a19a;
  --warn: #f0b95a; --fail: #ff8f86; } }
body { max-width: 66rem; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.2; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
header p { margin: .35rem 0 0; color: var(--quiet); overflow-wrap: anywhere; }
.summary { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: .8rem 0 0;
  padding: 0; }
section { margin: 1.25rem 0 0; padding: 1rem clamp(.7rem, 3vw, 1.25rem) 1.25rem;
  background: var(--card); border: 1px solid var(--line); border-radius: .9rem; }
h2 { margin: 0; font-size: 1.1rem; line-height: 1.3; }
.messages { list-style: none; margin: .6rem 0 0; padding: 0; display: grid; gap: .5rem; }
.messages li { display: grid; grid-template-columns: 5rem 1fr; column-gap: .7rem;
  align-items: baseline; overflow-wrap: anywhere; min-width: 0; }
.messages p { margin: .1rem 0 0; color: var(--quiet); font-size: .85rem; grid-column: 2; }
.level { padding: .05rem .45rem; border: 1px solid; border-radius: 1rem; font-size: .75rem;
  font-weight: 600; text-align: center; white-space: nowrap; }
.none { color: var(--quiet); border-color: var(--line); }
.good { color: var(--good); }
.info { color: var(--info); }
.warn { color: var(--warn); }
.fail { color: var(--fail); }
.tables { display: flex; flex-wrap: wrap; gap: .9rem 2.5rem; align-items: flex-start;
  margin: .9rem 0 0; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: separate; border-spacing: 0; font-size: .85rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
thead th { color: var(--quiet); font-weight: 600; font-size: .8rem; }
th:first-child { text-align: left; padding-inline-start: 0; position: sticky; left: 0;
  background: var(--card); }
tbody th { font-weight: 600; max-width: 14rem; overflow: hidden; text-overflow: ellipsis; }
.bar { min-width: 7rem; }
.bar::after { content: ""; display: block; height: .3rem; margin-top: .15rem;
  border-radius: .15rem; background: linear-gradient(var(--bar), var(--bar)) 0 / var(--share) 100%
  no-repeat, var(--line); -webkit-print-color-adjust: exact; print-color-adjust: exact; }
@media (max-width: 30rem) { .messages li { grid-template-columns: 1fr; row-gap: .2rem; }
  .messages { gap: .9rem; }
  .messages p { grid-column: 1; } .level { justify-self: start; }
  tbody th { max-width: 8rem; } .bar { min-width: 4.5rem; } }
"""

BODY = """<header>
<h1>{title}</h1>
<p>{subtitle}</p>
<ul class="summary">
{summary}
</ul>
</header>
<main>
{sections}
</main>"""

# Singular and plural of each level, the worst first.
LEVELS: dict[Level, tuple[str, str]] = {
    "fail": ("failure", "failures"),
    "warn": ("warning", "warnings"),
    "good": ("check passed", "checks passed"),
    "info": ("note", "notes"),
}


def render_debug_page(sections: Sequence[Section], *, title: str, subtitle: str = "") -> str:
    """Render the report on a corpus as an HTML page that needs no network.

    Shares are shown as bars. All texts are escaped.

    Args:
        sections: The sections of the report.
        title: Heading of the page.
        subtitle: A line below the heading, such as what the corpus was compared with.

    Returns:
        The page.
    """
    counts = count_levels(sections)
    summary = "\n".join(
        f'<li class="level {level if counts[level] else "none"}">'
        f"{counts[level]} {names[counts[level] != 1]}</li>"
        for level, names in LEVELS.items()
    )
    body = BODY.format(
        title=escape(title),
        subtitle=escape(subtitle),
        summary=summary,
        sections="\n".join(map(_section, sections)),
    )
    return frame_page(title, STYLE, body)


def _section(section: Section) -> str:
    messages = "\n".join(map(_message, section.messages))
    message_list = f'\n<ul class="messages">\n{messages}\n</ul>' if messages else ""
    tables = "\n".join(map(_table, section.tables))
    table_list = f'\n<div class="tables">\n{tables}\n</div>' if tables else ""
    return f"<section>\n<h2>{escape(section.title)}</h2>{message_list}{table_list}\n</section>"


def _message(message: Message) -> str:
    name, _ = LEVELS[message.level]
    detail = f"<p>{escape(message.detail)}</p>" if message.detail else ""
    return (
        f'<li><span class="level {message.level}">{name.split()[-1]}</span>'
        f"<span>{escape(message.text)}</span>{detail}</li>"
    )


def _table(table: Table) -> str:
    header = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "\n".join(
        f'<tr><th scope="row" title="{escape(first.text)}">{escape(first.text)}</th>'
        f"{''.join(map(_cell, others))}</tr>"
        for first, *others in table.rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n'
        "</table></div>"
    )


def _cell(cell: Cell) -> str:
    if cell.share is None:
        return f"<td>{escape(cell.text)}</td>"
    return f'<td class="bar" style="--share: {cell.share:.2%}">{escape(cell.text)}</td>'
