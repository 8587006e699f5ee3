import { demo } from './demo.js';
import { rebuild } from './rebuild.js';
import { replace } from './replace.js';
import { run } from './run.js';
import { who } from './who.js';

export const commands = [run, who, replace, demo, rebuild];
