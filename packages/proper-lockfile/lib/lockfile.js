// Some programs, and proper-lockfile's own tests, reach for this file to see which locks are held.
exports.getLocks = require('holdfast/proper-lockfile').getLocks;
