/**
 * A shop's database, as large as Chinook and similar to it: eleven tables with some fifteen thousand rows, the same in
 * every run and on every database. Its texts contain what formats and clients get wrong.
 */
import { Random } from "./random.ts";

export type Dialect = "sqlite" | "postgres" | "mysql";

type Type = "integer" | "text" | "decimal" | "moment" | "bytes";

type Value = string | number | Uint8Array | null;

export interface Table {
  readonly name: string;
  readonly columns: readonly (readonly [name: string, type: Type])[];
  /** The first column is the key, or the first two. */
  readonly keys: 1 | 2;
  readonly rows: readonly (readonly Value[])[];
}

const WORDS = "sea blue night river gold stone fire rain road moon glass north wild paper iron salt song winter".split(
  " ",
);
const HARD = [
  'The "Quoted" Ones',
  "comma, and; semicolon",
  "two\nlines",
  "carriage\r\nreturn",
  "tab\tbetween",
  "back\\slash and \\n that is not a newline",
  " spaces around ",
  "it's",
  "=1+1",
  "naïve café",
  "Дмитрий",
  "漢字かな",
  "🎸 and 👩‍🎤",
  "e\u0301 is é",
  "NULLABLE",
  "%20 %2F",
  "a/b",
  "",
  "'; DROP TABLE customers; --",
  "{{ braces }} | pipes",
];
const COUNTRIES = ["Norway", "Brazil", "Czech Republic", "Côte d'Ivoire", "USA", "India", "日本"];

/** The tables, in an order in which each refers only to earlier ones. */
export function chinook(seed = 2024): readonly Table[] {
  const random = new Random(seed);
  const text = (least = 1, most = 4): string => {
    if (random.chance(0.08)) return random.pick(HARD);
    const words = Array.from({ length: least + random.below(most - least + 1) }, () => random.pick(WORDS));
    const all = words.join(" ");
    return all.charAt(0).toUpperCase() + all.slice(1);
  };
  const one = (count: number) => 1 + random.below(count);
  const moment = () => {
    const at = new Date(Date.UTC(2009, 0, 1) + random.below(5 * 365 * 86_400) * 1000);
    return at.toISOString().slice(0, 19).replace("T", " ");
  };
  const cents = (count: number) => `${Math.floor(count / 100)}.${String(count % 100).padStart(2, "0")}`;
  const rows = (count: number, row: (id: number) => readonly Value[]) =>
    Array.from({ length: count }, (_, index) => [index + 1, ...row(index + 1)]);
  const maybe = <T extends Value>(value: T, chance = 0.2): T | null => (random.chance(chance) ? null : value);
  const id = ["id", "integer"] as const;

  const pairs = new Set<string>();
  while (pairs.size < 8715) pairs.add(`${one(18)}:${one(3503)}`);

  return [
    { name: "artists", keys: 1, columns: [id, ["name", "text"]], rows: rows(275, () => [maybe(text(), 0.05)]) },
    {
      name: "albums",
      keys: 1,
      columns: [id, ["title", "text"], ["artist_id", "integer"], ["cover", "bytes"]],
      rows: rows(347, () => [
        text(),
        one(275),
        maybe(
          Uint8Array.from({ length: random.below(40) }, () => random.below(256)),
          0.5,
        ),
      ]),
    },
    { name: "media_types", keys: 1, columns: [id, ["name", "text"]], rows: rows(5, () => [text(1, 2)]) },
    { name: "genres", keys: 1, columns: [id, ["name", "text"]], rows: rows(25, () => [text(1, 2)]) },
    {
      name: "tracks",
      keys: 1,
      columns: [
        id,
        ["name", "text"],
        ["album_id", "integer"],
        ["media_type_id", "integer"],
        ["genre_id", "integer"],
        ["composer", "text"],
        ["milliseconds", "integer"],
        ["price", "decimal"],
      ],
      rows: rows(3503, () => [
        text(1, 6),
        maybe(one(347), 0.02),
        one(5),
        maybe(one(25)),
        maybe(text(2, 3), 0.4),
        1000 + random.below(5_000_000),
        random.chance(0.9) ? "0.99" : "1.99",
      ]),
    },
    {
      name: "employees",
      keys: 1,
      columns: [id, ["name", "text"], ["reports_to", "integer"], ["hired", "moment"]],
      rows: rows(8, (number) => [text(2, 2), number === 1 ? null : one(number - 1), moment()]),
    },
    {
      name: "customers",
      keys: 1,
      columns: [id, ["name", "text"], ["company", "text"], ["country", "text"], ["support_id", "integer"]],
      rows: rows(59, () => [text(2, 2), maybe(text(1, 3), 0.6), random.pick(COUNTRIES), maybe(one(8), 0.1)]),
    },
    {
      name: "invoices",
      keys: 1,
      columns: [id, ["customer_id", "integer"], ["issued", "moment"], ["address", "text"], ["total", "decimal"]],
      rows: rows(412, () => [one(59), moment(), maybe(text(3, 8)), cents(random.below(100_000))]),
    },
    {
      name: "invoice_lines",
      keys: 1,
      columns: [id, ["invoice_id", "integer"], ["track_id", "integer"], ["price", "decimal"], ["quantity", "integer"]],
      rows: rows(2240, () => [one(412), one(3503), random.chance(0.9) ? "0.99" : "1.99", one(3)]),
    },
    { name: "playlists", keys: 1, columns: [id, ["name", "text"]], rows: rows(18, () => [maybe(text(), 0.1)]) },
    {
      name: "playlist_tracks",
      keys: 2,
      columns: [
        ["playlist_id", "integer"],
        ["track_id", "integer"],
      ],
      rows: [...pairs].map((pair) => pair.split(":").map(Number)),
    },
  ];
}

const TYPES: Readonly<Record<Dialect, Readonly<Record<Type, string>>>> = {
  sqlite: { integer: "INTEGER", text: "TEXT", decimal: "DECIMAL(10, 2)", moment: "TEXT", bytes: "BLOB" },
  postgres: { integer: "integer", text: "text", decimal: "numeric(10, 2)", moment: "timestamp", bytes: "bytea" },
  mysql: { integer: "integer", text: "varchar(200)", decimal: "decimal(10, 2)", moment: "datetime", bytes: "blob" },
};

const ROWS_A_STATEMENT = 500;

/** Statements that create and fill the tables. */
export function chinookSql(dialect: Dialect, tables = chinook()): readonly string[] {
  return tables.flatMap(({ name, columns, keys, rows }) => {
    const defined = columns.map(([column, type]) => `${column} ${TYPES[dialect][type]}`);
    const key = columns.slice(0, keys).map(([column]) => column);
    const statements = [`CREATE TABLE ${name} (${defined.join(", ")}, PRIMARY KEY (${key.join(", ")}))`];
    for (let at = 0; at < rows.length; at += ROWS_A_STATEMENT) {
      const some = rows.slice(at, at + ROWS_A_STATEMENT);
      const values = some.map((row) => `(${row.map((value) => literal(value, dialect)).join(", ")})`);
      statements.push(`INSERT INTO ${name} VALUES ${values.join(", ")}`);
    }
    return statements;
  });
}

function literal(value: Value, dialect: Dialect): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") {
    const text = value.replaceAll("'", "''");
    // The clients of these two remove a carriage return at the end of a line.
    if (dialect === "sqlite") return `'${text.replaceAll("\r", "' || char(13) || '")}'`;
    return dialect === "mysql" ? `'${text.replaceAll("\\", "\\\\").replaceAll("\r", "\\r")}'` : `'${text}'`;
  }
  const hex = Buffer.from(value).toString("hex");
  return dialect === "postgres" ? `'\\x${hex}'` : `x'${hex}'`;
}
