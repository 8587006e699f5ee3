// Puts a copy of binding.gyp into prebuilds/, which is packed, for `holdfast rebuild`. At the top of a package, package
// managers would take it for an order to compile it when it is installed.
import { copyFileSync } from 'node:fs';
import path from 'node:path';

import { projectDirectory } from './native-target.mjs';

copyFileSync(
  path.join(projectDirectory, 'binding.gyp'),
  path.join(projectDirectory, 'prebuilds', 'binding.gyp'),
);
