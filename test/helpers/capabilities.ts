import { files } from './probes/files.js';
import { processes } from './probes/processes.js';
import { programs } from './probes/programs.js';

const probes = { ...files, ...processes, ...programs };

export type Capability = keyof typeof probes;

const results = new Map<Capability, string | null>();

/**
 * Whether this machine can do all of these; what it cannot is printed with the reason. For `test.runIf(has('strace'))`:
 * a test asks for what it needs and never for a platform by name.
 */
export function has(...capabilities: Capability[]): boolean {
  return capabilities.filter((capability) => !isPresent(capability)).length === 0;
}

function isPresent(capability: Capability): boolean {
  let reason = results.get(capability);
  if (reason === undefined) {
    reason = probes[capability]();
    results.set(capability, reason);
    if (reason !== null) {
      process.stderr.write(`What needs ${capability} is left out: ${reason}\n`);
    }
  }
  return reason === null;
}
