// The parts of vitest that are native code, for other machines: npm installs those of this machine only.
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';

import { cached, fetchPackage, lockedPackage } from './downloads.mjs';

/** A directory for NODE_PATH that has them for `platform`, as their packages name it; node_modules stays as it is. */
export function fetchVitestParts(platform) {
  const packages = ['@rolldown/binding', 'lightningcss'].map((part) =>
    lockedPackage(`${part}-${platform}`),
  );
  const name = packages.map(({ version }) => version).join('-');
  return cached(`vitest-${platform}-${name}`, (directory) => {
    for (const part of packages) {
      const link = path.join(directory, part.name);
      mkdirSync(path.dirname(link), { recursive: true });
      symlinkSync(fetchPackage(part), link);
    }
  });
}
