/** Copies of values that may be anything, as an abort reason may: of bounded size, and made without throwing. */
import { types } from 'node:util';

/** In UTF-16 units; paths are longer than anything else that is told. */
const longestText = 32_768;
/** Of one copy: characters, and one for each value. */
const budgetOfAll = 65_536;
const maxDepth = 8;
const unreadable = '[unreadable]';
const tooLong = '[…]';

/** What of an event is copied at most. */
interface Budget {
  left: number;
}

/** Copies the fields of an event as plain JSON values. What is no object has none. */
export function toPlainFields(data: unknown): Record<string, unknown> {
  const plain = toPlain(data, maxDepth, { left: budgetOfAll });
  return typeof plain === 'object' && plain !== null ? (plain as Record<string, unknown>) : {};
}

/** Asks nothing of the value but what it is: no method of it is called, and a getter that throws is one field. */
function toPlain(value: unknown, depth: number, budget: Budget): unknown {
  budget.left--;
  switch (typeof value) {
    case 'string':
      return toText(value, budget);
    case 'bigint':
      // Writing a long one out takes quadratic time.
      return BigInt.asIntN(64, value) === value ? `${value}n` : '[bigint of more than 64 bits]';
    case 'symbol':
      return toText(String(value), budget);
    case 'function':
      return '[function]';
    case 'object':
      return value === null ? null : toPlainObject(value, depth, budget);
    default:
      return value;
  }
}

function toPlainObject(value: object, depth: number, budget: Budget): unknown {
  if (depth === 0 || budget.left <= 0) return tooLong;
  try {
    if (types.isDate(value)) {
      const time = Date.prototype.getTime.call(value);
      return Number.isNaN(time) ? null : new Date(time).toISOString();
    }
    if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
    if (value instanceof Error) return copy(value, ['code', 'message'], depth, budget);
    if (Array.isArray(value)) return copyItems(value, depth, budget);
    return copy(value, Object.keys(value), depth, budget);
  } catch {
    return unreadable;
  }
}

function copyItems(value: readonly unknown[], depth: number, budget: Budget): unknown[] {
  const items: unknown[] = [];
  for (let index = 0; index < value.length && budget.left > 0; index++) {
    items.push(read(value, index, depth, budget) ?? null);
  }
  return items;
}

function copy(value: object, names: readonly string[], depth: number, budget: Budget): object {
  const result: Record<string, unknown> = {};
  for (const name of names) {
    if (budget.left <= 0) break;
    budget.left -= name.length;
    const plain = read(value, name, depth, budget);
    // As a property of its own, whatever the name.
    if (plain !== undefined)
      Object.defineProperty(result, name, { value: plain, enumerable: true });
  }
  return result;
}

function read(value: object, name: string | number, depth: number, budget: Budget): unknown {
  try {
    return toPlain((value as Record<string | number, unknown>)[name], depth - 1, budget);
  } catch {
    return unreadable;
  }
}

function toText(text: string, budget: Budget): string {
  const length = Math.max(0, Math.min(longestText, budget.left));
  budget.left -= Math.min(text.length, length);
  return text.length <= length ? text : text.slice(0, length) + tooLong;
}
