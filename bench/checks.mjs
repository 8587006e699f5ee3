// Does a candidate do what its figures are compared for? Whoever does not is not ranked, and it is said why.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { inC, inNode, run, start, systemCalls } from './processes.mjs';

/** Why a lock of the candidate is none between two processes, or null. */
export async function whyNoLock(candidate, directory) {
  const target = path.join(directory, 'target');
  const holder = start(inNode('holder', { candidate, target }));
  try {
    await holder.line();
    const { granted } = await run(inNode('holder', { candidate, target, tries: true }));
    if (granted) return 'two processes had the lock at once';
    holder.send('release');
    await holder.result();
    return null;
  } catch (error) {
    return error.message;
  } finally {
    holder.kill();
    holder.ended.catch(() => {});
  }
}

const flushes = ['fsync', 'fdatasync', 'syncfs', 'sync_file_range'];
const publications = ['rename', 'renameat', 'renameat2'];

/**
 * Why a candidate's replace does not do what it was told, or null: the contents are not there, a reader saw a part of
 * them, or something was published that had not been flushed before.
 */
export async function whyNoReplace(candidate, form, durability, directory) {
  const count = 20;
  const size = 256 * 1024;
  const place = { candidate, form, durability, directory };
  const { torn, reads, whole } = await run(inNode('torn', { ...place, size, count }));
  if (!whole) return 'the file does not hold what was written last';
  if (torn > 0) return `${torn} of ${reads} reads saw a torn file`;
  const names = [...flushes, ...publications];
  const calls = systemCalls(
    inNode('replace', { ...place, sizes: [4096], span: 0, count }),
    names,
    path.join(directory, 'calls'),
  );
  return calls === null || durability === 'none' ? null : whyUnflushed(calls, count, durability);
}

/** Every publication must come after one more flush, and with `full` be followed by one. */
function whyUnflushed(calls, count, durability) {
  let flushed = 0;
  let published = 0;
  let early = 0;
  for (const call of calls) {
    // A call that another thread's interrupted is shown in two parts: a flush counts when it is done, a rename when begun.
    const [, resumed, name] = /^\d+ +(?:<\.\.\. )?((?<=<\.\.\. ))?(\w+)/.exec(call) ?? [];
    if (name === undefined) continue;
    if (flushes.includes(name) && !call.endsWith('<unfinished ...>')) flushed++;
    if (publications.includes(name) && resumed === undefined && call.includes('"')) {
      published++;
      if (flushed < published * (durability === 'full' ? 2 : 1) - (durability === 'full' ? 1 : 0)) {
        early++;
      }
    }
  }
  const needed = durability === 'full' ? 2 * count : count;
  if (flushed < needed) return `${flushed} flushes for ${count} replaces (${needed} are needed)`;
  return early === 0 ? null : `${early} of ${published} renames came before the flush`;
}

/**
 * How often each system call is made in one cycle of a program: what 200 cycles make more than 100. `commandOf` hands
 * back the program that makes so many. Null without strace.
 */
export function callsOfCycle(commandOf, directory) {
  const [fewer, more] = [100, 200].map((cycles) => {
    const lines = systemCalls(commandOf(cycles), ['all'], path.join(directory, `calls-${cycles}`));
    return lines && countByName(lines);
  });
  if (!fewer || !more) return null;
  const calls = {};
  for (const [name, count] of more) {
    const each = (count - (fewer.get(name) ?? 0)) / 100;
    // What comes now and then, as garbage collection does, is none of a cycle's.
    if (each >= 0.5) calls[name] = Math.round(each);
  }
  return calls;
}

function countByName(lines) {
  const counts = new Map();
  for (const line of lines) {
    const name = /^\d+ +(\w+)\(/.exec(line)?.[1];
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Whether holdfast and the program in C that is said to make the same system calls do so, in words. */
export function compareCalls(what, holdfast, program) {
  if (holdfast === null || program === null) return `${what}: not counted (no strace)`;
  const names = [...new Set([...Object.keys(holdfast), ...Object.keys(program)])].sort();
  const differing = names.filter((name) => holdfast[name] !== program[name]);
  const list = names.map((name) => `${name} ${holdfast[name] ?? 0}`).join(', ');
  return differing.length === 0
    ? `${what}: holdfast and C make the same system calls (${list})`
    : `${what}: NOT THE SAME SYSTEM CALLS: ` +
        differing
          .map((name) => `${name} ${holdfast[name] ?? 0} and ${program[name] ?? 0} in C`)
          .join(', ');
}

export function resetCounter(directory) {
  writeFileSync(path.join(directory, 'counter'), '0');
}

/** Throws unless no increment was lost. */
export function checkCounter(directory, expected) {
  const found = Number(readFileSync(path.join(directory, 'counter'), 'utf8'));
  if (found !== expected) throw new Error(`${expected - found} of ${expected} updates were lost`);
}

export const lockCycle = (form, directory) => (cycles) =>
  inNode('cycles', { candidate: 'holdfast', form, directory, files: 1, span: 0, cycles });
export const lockCycleInC = (directory) => (cycles) =>
  inC('cycles', 'same', directory, 1, 0, cycles);
export const replaceCycle = (durability, directory) => (count) =>
  inNode('replace', {
    ...{ candidate: 'holdfast', form: 'sync', durability, directory },
    ...{ sizes: [4096], span: 0, count },
  });
export const replaceCycleInC = (durability, directory) => (count) =>
  inC('replace', 'same', durability, directory, 4096, 0, count);
