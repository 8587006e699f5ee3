// How long a fresh process takes to import something.
const { specifier } = JSON.parse(process.argv[2]);

const start = performance.now();
await import(specifier);
console.log(JSON.stringify({ milliseconds: performance.now() - start }));
process.exit();
