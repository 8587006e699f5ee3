import lockfile = require('holdfast/proper-lockfile');
export = lockfile;
