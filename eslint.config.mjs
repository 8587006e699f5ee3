import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import regexp from 'eslint-plugin-regexp';
import typescript from 'typescript-eslint';

const childProcessModule = '^(node:)?child_process$';
const noExec =
  'exec and execSync pass their command through a shell: use execFile, spawn or their synchronous forms.';
const onlyByName = `Import child_process by a plain import or destructuring require, so that what is used of it is seen. ${noExec}`;
const noShell =
  'A shell splits, expands and executes what it is given: `shell` may only be the literal false.';
const required = `VariableDeclarator[init.callee.name="require"][init.arguments.0.value=/${childProcessModule}/]`;

/**
 * Programs are started without a shell, everywhere in this repository: test/lint-rules.test.ts shows what is caught.
 * child_process can only be reached by names that the linter sees, so there is no namespace to take exec from.
 */
const noShells = {
  'no-restricted-imports': [
    'error',
    {
      // `import * as` is refused too, since it would bring these names along.
      patterns: [
        {
          regex: childProcessModule,
          importNames: ['exec', 'execSync', 'default'],
          message: noExec,
        },
      ],
    },
  ],
  'no-restricted-syntax': [
    'error',
    // Dynamic import, import-equals, createRequire, process.getBuiltinModule, the module's name in a variable.
    {
      selector: `:not(ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration, CallExpression[callee.name="require"]) > Literal[value=/${childProcessModule}/]`,
      message: onlyByName,
    },
    {
      selector: `TemplateElement[value.cooked=/${childProcessModule}/]`,
      message: onlyByName,
    },
    {
      selector: `:not(VariableDeclarator[id.type="ObjectPattern"]) > CallExpression[callee.name="require"] > Literal[value=/${childProcessModule}/]`,
      message: onlyByName,
    },
    ...[
      'Property[key.name=/^(exec|execSync|default)$/]',
      'Property[key.value=/^(exec|execSync|default)$/]',
      'Property[computed=true]:not([key.type="Literal"])',
      'RestElement',
    ].map((element) => ({
      selector: `${required} > ObjectPattern > ${element}`,
      message: noExec,
    })),
    // Should a namespace come from elsewhere. `exec` alone is also a method of every regular expression.
    ...['property.name', 'property.value'].flatMap((property) => [
      { selector: `MemberExpression[${property}="execSync"]`, message: noExec },
      {
        selector: `MemberExpression[object.name=/^(cp|child_?process)$/i][${property}="exec"]`,
        message: noExec,
      },
      {
        selector: `AssignmentExpression[left.${property}="shell"]:not([right.raw="false"])`,
        message: noShell,
      },
    ]),
    ...['key.name', 'key.value'].map((key) => ({
      selector: `ObjectExpression > Property[${key}="shell"]:not([value.raw="false"])`,
      message: noShell,
    })),
  ],
};

/**
 * The library reaches files through native code, relative to a held descriptor: a path can be swapped between two calls of
 * `node:fs`. Each exception has its reason; test/lint-rules.test.ts shows what is caught.
 */
const noPaths = {
  files: ['src/**/*.ts'],
  ignores: [
    // Files of the package itself, at load: whoever can swap those can swap the code.
    'src/load-addon.ts',
    'src/host-libc.ts',
    'src/cli/main.ts',
    'src/cli/rebuild.ts',
    // Resolve links, a name at a time; what they lead to is opened and checked by native code.
    'src/links.ts',
    'src/path.ts',
    // Compares directories to keep calls in order; opens nothing, and nothing else depends on the answer.
    'src/replace-order.ts',
    // The `fs` of proper-lockfile's own protocol, and its `realpath`.
    'src/proper-lockfile/bridged-holding.ts',
    'src/proper-lockfile/verbs.ts',
    // Paths through descriptors that are held and were checked.
    'src/cli/doctor-directory.ts',
    'src/cli/doctor-examination.ts',
    'src/cli/doctor-files.ts',
    // Reads, of a file that the user names.
    'src/cli/journal-reader.ts',
    'src/cli/replace.ts',
    'src/cli/batch-file.ts',
    'src/cli/demo*.ts',
  ],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: '^(node:)?fs(/promises)?$',
            allowTypeImports: true,
            message:
              'A path can be swapped between two calls of node:fs: use a native verb, or name the exception in eslint.config.mjs.',
          },
        ],
      },
    ],
  },
};

/** No input costs a regular expression more than its length. */
const linearExpressions = {
  plugins: { regexp },
  rules: {
    'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
    'regexp/no-dupe-disjunctions': ['error', { reportExponentialBacktracking: 'potential' }],
    'regexp/no-super-linear-move': ['error', { ignoreSticky: false, ignorePartial: false }],
  },
};

/** What this version of Node defines. */
const nodeGlobals = Object.fromEntries(
  Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly']),
);

export default defineConfig(
  globalIgnores(['dist/', 'dist-modules/', 'build/', 'prebuilds/*/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.{js,mjs,cjs}'],
    extends: [js.configs.recommended],
    languageOptions: { globals: nodeGlobals },
  },
  { files: ['**/*.{js,cjs}'], languageOptions: { sourceType: 'commonjs' } },
  {
    files: ['**/*.{ts,mts,cts}'],
    extends: [js.configs.recommended, typescript.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ['*.mts', 'packages/*/*.d.ts'] } },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-require-imports': ['error', { allowAsImport: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // Control characters are what names and terminals have to be protected from.
      'no-control-regex': 'off',
    },
  },
  { files: ['**/*.{js,mjs,cjs,ts,mts,cts}'], rules: noShells },
  noPaths,
  { files: ['src/**/*.ts'], ...linearExpressions },
);
