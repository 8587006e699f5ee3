// Programs under measurement, each in a process of its own: one in C, or one of bench/work with a candidate.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const work = fileURLToPath(new URL('work/', import.meta.url));
/** Where bench/prepare.mjs puts the compiled programs. */
export const compiled = fileURLToPath(new URL('build/', import.meta.url));

/** Milliseconds after which a program is ended, unless told otherwise. */
const longest = 30_000;

/** A command line: of a program in C, with its arguments, or of one in bench/work, with one object. */
export const inC = (name, ...args) => [path.join(compiled, name), ...args.map(String)];
export const inNode = (name, request, ...flags) => [
  process.execPath,
  ...flags,
  path.join(work, `${name}.mjs`),
  JSON.stringify(request),
];

/**
 * Starts a program. `lines` are what it has printed; `line()` awaits the next; `send` writes one to it; `ended` resolves
 * with its last line as JSON, and rejects when it fails or takes too long.
 */
export function start([command, ...args], { limit = longest } = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {}); // it has ended, which is told elsewhere
  const waiting = [];
  const lines = [];
  let output = '';
  let errors = '';
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, limit);
  child.stdout.on('data', (chunk) => {
    output += chunk;
    const whole = output.split('\n');
    output = whole.pop();
    for (const line of whole) {
      const next = waiting.shift();
      if (next === undefined) lines.push(line);
      else next.resolve(line);
    }
  });
  child.stderr.on('data', (chunk) => (errors = (errors + chunk).slice(-2000)));
  const closed = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (timedOut) reject(new Error(`not done after ${limit / 1000} s`));
      else if (code === 0) resolve();
      else reject(new Error(`ended by ${signal ?? code}: ${complaint(errors)}`));
    });
  });
  closed.catch((error) => {
    for (const next of waiting) next.reject(error);
  });
  const line = () =>
    lines.length > 0
      ? Promise.resolve(lines.shift())
      : new Promise((resolve, reject) => {
          waiting.push({ resolve, reject });
          closed.then(() => reject(new Error('it ended without a word')), reject);
        });
  return {
    pid: child.pid,
    line,
    send: (text) => child.stdin.write(`${text}\n`),
    kill: () => child.kill('SIGKILL'),
    ended: closed,
    /** The next line, as JSON, of a program that then ends. */
    result: async () => {
      const answer = JSON.parse(await line());
      await closed;
      return answer;
    },
  };
}

/** Runs a program to its end, and hands back what it printed, as JSON. */
export const run = (command, options) => start(command, options).result();

/** Starts all programs at once, as soon as each is ready, and hands back what they printed. */
export async function runTogether(commands, options) {
  const programs = commands.map((command) => start(command, options));
  try {
    await Promise.all(
      programs.map(async (program) => {
        const line = await program.line();
        if (line !== 'ready') throw new Error(`not ready but: ${line}`);
      }),
    );
    for (const program of programs) program.send('go');
    return await Promise.all(programs.map((program) => program.result()));
  } finally {
    for (const program of programs) {
      program.kill();
      program.ended.catch(() => {});
    }
  }
}

/** The system calls of a program and all of its threads, as strace(1) shows them; null where that cannot be had. */
export function systemCalls(command, names, file) {
  const args = ['-f', '-qq', '-s', '200', '-e', `trace=${names.join(',')}`, '-o', file, ...command];
  const result = spawnSync('strace', args, { encoding: 'utf8', timeout: longest });
  if (result.error?.code === 'ENOENT') return null;
  if (result.status !== 0) {
    throw new Error(`strace ended with ${result.status}: ${complaint(result.stderr)}`);
  }
  return readFileSync(file, 'utf8').split('\n');
}

/** What a program said of its end. */
const complaint = (text) => /^.*Error.*$/m.exec(text)?.[0] ?? text.trim().split('\n').at(-1) ?? '';
