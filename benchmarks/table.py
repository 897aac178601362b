"""One table and one JSON line a benchmark."""

import json
from dataclasses import dataclass
from dataclasses import field

from rich.console import Console
from rich.table import Table


@dataclass
class Result:
    """What a benchmark found.

    Attributes:
        name: Which benchmark.
        columns: Names of the columns.
        rows: Values by row; the last column says whether the aim is met.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[object, ...]] = field(default_factory=list)

    def show(self, console: Console) -> None:
        """Prints the table, then the same as JSON on one line."""
        table = Table(*self.columns, title=self.name, title_justify="left")
        for row in self.rows:
            table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row))
        console.print(table)
        content = {"benchmark": self.name, "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows]}
        console.print(json.dumps(content, default=str), soft_wrap=True, highlight=False, markup=False)
