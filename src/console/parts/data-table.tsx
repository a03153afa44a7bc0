import type { ReactNode } from 'react';

export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => ReactNode;
  /** words wrap, mono is for names and numbers of machines, number is right-aligned; nowrap is what it says. */
  readonly look?: 'words' | 'mono' | 'nowrap' | 'number';
}

/** The one table: a row heading, then columns; on a narrow screen every row is a card. */
export function DataTable<T>({
  label,
  head,
  columns,
  rows,
  keyOf,
}: {
  readonly label: string;
  readonly head: Column<T>;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
}): ReactNode {
  return (
    <table aria-label={label}>
      <thead>
        <tr>
          {[head, ...columns].map((column) => (
            <th key={column.title} scope="col" className={column.look === 'number' ? 'number' : undefined}>
              {column.title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={keyOf(row)}>
            <th scope="row" className={head.look}>
              {head.cell(row)}
            </th>
            {columns.map((column) => (
              <td key={column.title} className={column.look} data-title={column.title}>
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
