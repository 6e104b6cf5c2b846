"""Tables as fragments of HTML, in which nothing of a run is markup."""

from __future__ import annotations

from html import escape as html_escape

from lwft_bench.reporting.render.markdown import shown
from lwft_bench.reporting.render.table import Table


def to_html(table: Table) -> str:
    """One `table` under its title, its notes as a list below."""
    columns = list(table.display.columns)
    lines = [
        '<figure class="lwft-table">',
        "<table>",
        f"<caption>{html_text(table.title)}</caption>",
    ]
    lines += ["<thead><tr>", *(f'<th scope="col">{html_text(one)}</th>' for one in columns)]
    lines += ["</tr></thead>", "<tbody>"]
    for row in table.display.itertuples(index=False):
        first, *others = map(html_text, row)
        cells = "".join(f"<td>{text}</td>" for text in others)
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    lines += ["</tbody>", "</table>"]
    if table.notes:
        lines += ["<figcaption><ul>", *(f"<li>{html_text(one)}</li>" for one in table.notes)]
        lines.append("</ul></figcaption>")
    return "\n".join([*lines, "</figure>", ""])


def html_text(text: str) -> str:
    """Text that shows as it is: no tag, no entity, no control character."""
    return html_escape(shown(text).replace("\n", " "))
