// The tables of a run, by what they are asked for.

export class Tables {
  #tables;

  constructor({ sections }) {
    this.#tables = new Map(
      sections.flatMap(({ tables }) => tables).map((table) => [table.id, table]),
    );
  }

  cell(id, name, column = 0) {
    const table = this.#tables.get(id);
    const row = table?.rows.find((each) => each.name === name);
    const at = typeof column === 'number' ? column : table?.columns.indexOf(column);
    return row?.cells[at] ?? undefined;
  }

  value(id, name, column) {
    return this.cell(id, name, column)?.median;
  }

  /** To the reference of the table, in the same rounds. */
  ratio(id, name, column) {
    return this.cell(id, name, column)?.ratio?.median;
  }

  /** The best value among the rows whose names pass. */
  best(id, column, passes, pick = Math.min) {
    const values = this.rows(id)
      .filter(({ name }) => passes(name))
      .map(({ name }) => this.value(id, name, column))
      .filter((value) => value !== undefined);
    return values.length === 0 ? undefined : pick(...values);
  }

  ids(pattern) {
    return [...this.#tables.keys()].filter((id) => pattern.test(id));
  }

  rows(id) {
    return this.#tables.get(id)?.rows ?? [];
  }

  columns(id) {
    return this.#tables.get(id)?.columns ?? [];
  }
}
