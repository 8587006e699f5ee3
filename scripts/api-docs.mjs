// Writes docs/api.md from the docstrings of the public interface. With --check it changes nothing and fails where the file is
// not what would be written.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application } from 'typedoc';

const project = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const file = path.join(project, 'docs', 'api.md');
const note =
  'Made from the docstrings by `npm run docs`: change those. Durations are milliseconds, sizes are bytes.';
const generated = await generate();

if (!process.argv.includes('--check')) {
  writeFileSync(file, generated);
} else if (!existsSync(file) || readFileSync(file, 'utf8') !== generated) {
  console.error('docs/api.md is not what the docstrings say: npm run docs writes it anew');
  process.exitCode = 1;
}

async function generate() {
  const output = mkdtempSync(path.join(tmpdir(), 'holdfast-api-'));
  try {
    const app = await Application.bootstrapWithPlugins({
      plugin: ['typedoc-plugin-markdown'],
      tsconfig: path.join(project, 'tsconfig.json'),
      entryPoints: [path.join(project, 'src', 'index.ts')],
      name: 'API',
      readme: 'none',
      out: output,
      outputFileStrategy: 'modules',
      entryFileName: 'api',
      // A change of code that no docstring is about does not change the file.
      disableSources: true,
      excludePrivate: true,
      excludeInternal: true,
      excludeExternals: true,
      hidePageHeader: true,
      hideBreadcrumbs: true,
      hideGroupHeadings: false,
      useCodeBlocks: true,
      parametersFormat: 'table',
      interfacePropertiesFormat: 'table',
      classPropertiesFormat: 'table',
      typeAliasPropertiesFormat: 'table',
      sort: ['source-order'],
      groupOrder: ['Functions', 'Classes', 'Variables', 'Interfaces', 'Type Aliases'],
      treatWarningsAsErrors: true,
      validation: { notExported: true, invalidLink: true, notDocumented: false },
      logLevel: 'Warn',
    });
    const reflection = await app.convert();
    if (reflection === undefined) throw new Error('TypeDoc could not read the sources');
    await app.generateOutputs(reflection);
    if (app.logger.hasErrors() || app.logger.hasWarnings())
      throw new Error('TypeDoc has complained');
    // Pages that docstrings link to would be copied beside it; they are there already.
    return readFileSync(path.join(output, 'api.md'), 'utf8')
      .replaceAll('(_media/', '(')
      .replace('# API\n', `# API\n\n${note}\n`);
  } finally {
    rmSync(output, { recursive: true });
  }
}
