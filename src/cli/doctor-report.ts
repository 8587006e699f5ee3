import { printable } from '../printable.js';
import { formatBytes } from './bytes.js';
import { formatDuration } from './duration.js';
import { stepsOfPlace } from './next-steps.js';
import { colour } from './terminal.js';
import type { Output } from './terminal.js';

/** What was tried, in the order in which it is told. */
export const checkNames = [
  'exclusion',
  'crash',
  'rename',
  'flush',
  'unnamed-files',
  'attributes',
] as const;
export type CheckName = (typeof checkNames)[number];

export interface Finding {
  readonly check: CheckName;
  /** `unknown`: it could not be tried, or this system has no such thing. */
  readonly result: 'yes' | 'no' | 'unknown';
  readonly text: string;
  /** The system's code, where an error is what was found. */
  readonly code?: string;
}

export type Verdict = 'sound' | 'limited' | 'unusable';

/** What `holdfast doctor` has found; with `--json` this is what it prints. */
export interface Diagnosis {
  readonly directory: string;
  readonly verdict: Verdict;
  /** The verdict in words, and what to do. */
  readonly advice: string;
  readonly host: {
    readonly node: string;
    readonly nodeApi: string;
    readonly electron: string | null;
    readonly platform: string;
    readonly arch: string;
    readonly libc: string | null;
    readonly release: string;
  };
  readonly addon: {
    readonly file: string | null;
    readonly origin: 'compiled' | 'prebuilt' | null;
    readonly error: string | null;
  };
  readonly fileSystem: {
    readonly name: string;
    readonly class: 'local' | 'network' | 'unknown';
    readonly freeBytes: number;
  } | null;
  readonly findings: readonly Finding[];
}

export type Facts = Omit<Diagnosis, 'verdict' | 'advice'>;

/** Without these there is nothing to rely on. */
const vital: readonly CheckName[] = ['exclusion', 'crash'];
/** Without these something that the documentation promises is not there. */
const promised: readonly CheckName[] = ['rename', 'flush'];

const denied = 'This user may not write there, and whoever takes a lock makes its lock file';
const remedies: Readonly<Record<string, string>> = {
  ...stepsOfPlace,
  EACCES: denied,
  EPERM: denied,
  ENOTSUP: stepsOfPlace.EOPNOTSUPP ?? '',
};

/** What the facts amount to. */
export function diagnose(facts: Facts): Diagnosis {
  const { directory, ...others } = facts;
  return { directory, ...judge(facts), ...others };
}

function judge({ addon, fileSystem, findings }: Facts): Pick<Diagnosis, 'verdict' | 'advice'> {
  if (addon.error !== null) {
    return { verdict: 'unusable', advice: 'holdfast cannot be used by this program at all.' };
  }
  const failed = (names: readonly CheckName[]) =>
    findings.filter(({ check, result }) => names.includes(check) && result !== 'yes');
  const [worst] = failed(vital);
  if (worst) {
    const remedy =
      remedies[worst.code ?? ''] ?? 'Keep what is locked on another file system, a local one';
    return { verdict: 'unusable', advice: `No lock here can be relied on. ${remedy}.` };
  }
  const limits = [
    ...(fileSystem?.class === 'network'
      ? [
          'another machine grants the locks: whether they exclude other clients is up to the server and the mount options, and waits are tried on a timer',
        ]
      : []),
    ...(fileSystem?.class === 'unknown'
      ? [
          'holdfast does not know this kind of file system: between the processes of this machine locks work, and waits are tried on a timer',
        ]
      : []),
    ...failed(promised).map(({ text }) => text),
  ];
  if (limits.length > 0) {
    return { verdict: 'limited', advice: `Locks work here, with limits: ${limits.join('; ')}.` };
  }
  return {
    verdict: 'sound',
    advice:
      'Locks exclude one another here and end with their holder, and files are replaced whole.',
  };
}

const marks = { yes: 'ok', no: 'no', unknown: '?' } as const;
const column = 16;

/** The diagnosis in words, a line each. */
export function renderDiagnosis(diagnosis: Diagnosis, output: Output): string[] {
  const { directory, verdict, advice, findings } = diagnosis;
  const good = verdict === 'sound' ? 'green' : 'red';
  return [
    printable(directory),
    ...facts(diagnosis).map(([name, text]) => `  ${name.padEnd(column)}${printable(text)}`),
    ...(findings.length === 0 ? [] : ['']),
    ...findings.map(({ check, result, text }) => {
      const mark = marks[result].padEnd(4);
      const coloured =
        result === 'unknown' ? mark : colour(result === 'yes' ? 'green' : 'red', mark, output);
      return `  ${coloured}${check.padEnd(column)}${printable(text)}`;
    }),
    '',
    `${colour(good, verdict, output)}: ${printable(advice)}`,
  ];
}

function facts({ host, addon, fileSystem }: Diagnosis): [name: string, text: string][] {
  const { node, nodeApi, electron, platform, arch, libc, release } = host;
  return [
    [
      'program',
      [
        ...(electron === null ? [] : [`Electron ${electron}`]),
        `Node ${node}, Node-API ${nodeApi}`,
      ].join(', '),
    ],
    ['system', [`${platform}-${arch}`, ...(libc === null ? [] : [libc]), release].join(', ')],
    ['addon', addon.error ?? `${addon.file ?? ''} (${addon.origin ?? 'unknown'})`],
    ...(fileSystem === null
      ? []
      : ([
          [
            'file system',
            `${fileSystem.name} (${fileSystem.class}), ${formatBytes(fileSystem.freeBytes)} free`,
          ],
        ] satisfies [string, string][])),
  ];
}

/** What an error of the system says of a check; another one is thrown on. */
export function failure(check: CheckName, error: unknown): Finding {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return { check, result: 'no', text: message, code };
}

export function untried(check: CheckName): Finding {
  return { check, result: 'unknown', text: 'not tried, after what was found before' };
}

export function handOffText(milliseconds: number, told: boolean): string {
  const heard = told ? 'the next one was told of it' : 'the next one was not told of it';
  return `its holder was killed; the lock was had ${formatDuration(milliseconds)} later, and ${heard}`;
}
