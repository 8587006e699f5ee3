module.exports = require('holdfast/proper-lockfile');
