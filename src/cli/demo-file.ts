import { readFile } from 'node:fs/promises';

import { replaceFile } from '../index.js';

/** The field that the demo counts in. */
export const counterField = 'holdfastDemoCounter';

export type Document = Record<string, unknown>;

/** The file cannot serve for the demo; the message says why. */
export class DocumentError extends Error {}

/** Reads a JSON object. */
export async function readDocument(file: string): Promise<Document> {
  return parseDocument(await readFile(file, 'utf8'));
}

/** Parses a JSON object that can be written again without any loss. */
export function parseDocument(text: string): Document {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new DocumentError(`it is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DocumentError('it holds JSON, but not an object, in which a field could count');
  }
  const number = inexactNumber(text);
  if (number !== undefined) {
    throw new DocumentError(`JavaScript cannot keep the number ${number} in it exactly`);
  }
  return value as Document;
}

/** The first integer, outside strings, that JSON.parse rounds. */
function inexactNumber(text: string): string | undefined {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g) ?? [];
  return tokens.find((token) => /^-?\d+$/.test(token) && !Number.isSafeInteger(Number(token)));
}

/** The counter of a document, or null if it has none. */
export function counterOf(document: Document): number | null {
  const value = document[counterField];
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : null;
}

/** Where a document's counter starts: 0 if it has none yet. */
export function startValueOf(document: Document): number {
  const value = counterOf(document);
  if (value !== null) return value;
  if (!Object.hasOwn(document, counterField)) return 0;
  throw new DocumentError(`its field "${counterField}" is there, but is no whole number`);
}

/** What a document holds besides the counter, for comparison. */
export function otherFields(document: Document): string {
  return JSON.stringify({ ...document, [counterField]: 0 });
}

function serialize(document: Document): string {
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** The demo kills processes, and does not cut the power: the disk need not be waited for. */
const options = { durability: 'none' } as const;

/** Replaces the file by new contents, so that a reader finds the old or the new ones, whole. Keeps the mode. */
export async function replaceDocument(file: string, document: Document): Promise<void> {
  await replaceFile(file, serialize(document), options);
}

/** Writes half of the new contents, calls back, and stays there for ever. */
export async function stayInReplace(
  file: string,
  document: Document,
  onHalfWritten: () => Promise<void>,
): Promise<never> {
  const text = serialize(document);
  async function* halfOfIt(): AsyncGenerator<string> {
    yield text.slice(0, text.length / 2);
    await onHalfWritten();
    await new Promise(() => undefined);
  }
  await replaceFile(file, halfOfIt(), options);
  throw new Error('the replace went on without the other half');
}
