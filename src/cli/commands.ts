import { demo } from './demo.js';
import { doctor } from './doctor.js';
import { journal } from './journal.js';
import { rebuild } from './rebuild.js';
import { replace } from './replace.js';
import { run } from './run.js';
import { session } from './session.js';
import { who } from './who.js';

export const commands = [run, who, replace, session, journal, doctor, demo, rebuild];
