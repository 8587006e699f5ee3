/** Output of data from outside: the one place where names, records and messages are made safe to print. */

// Control, format, line-separator and paragraph-separator characters (C1 and bidi controls are among them), and halves of
// a surrogate pair. Each could move a cursor, end a line for some reader, or turn the writing direction.
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Returns `text` as one line that is safe to print: each unprintable character becomes `\u{…}`. */
export function printable(text: string): string {
  return text.replace(
    unprintable,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/**
 * Returns `value` as JSON that is safe to print and to split into lines: unprintable characters become JSON escapes, so
 * that a parser reads the same value. With `indent` it has several lines. Errors become their code and message.
 */
export function toPrintableJson(value: unknown, indent?: number): string {
  // The only newlines are those of the indentation: JSON escapes its own.
  return JSON.stringify(value, describeErrors, indent).replace(unprintable, (character) =>
    character === '\n' ? character : escape(character),
  );
}

/** Copies the fields of an error that JSON would leave out. */
function describeErrors(_name: string, value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { code, message } = value as NodeJS.ErrnoException;
  return code === undefined ? { message } : { code, message };
}

function escape(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
