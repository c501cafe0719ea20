import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { configKeyNames, specOf } from '../../src/config/config-keys.ts'
import { formatValue } from '../../src/config/format-value.ts'
import { type LoadedCommand, loadCommands, projectRoot } from '../commands/load-commands.ts'

const pages = readdirSync(join(projectRoot, 'man')).sort()
const commands = await loadCommands()

/** A page as text: escapes for hyphens, quotes and backslashes undone. */
function page(name: string): string {
  return readFileSync(join(projectRoot, 'man', name), 'utf8')
    .replaceAll('\\-', '-')
    .replaceAll('\\(dq', '"')
    .replaceAll('\\e', '\\')
    .replaceAll('\\ ', ' ')
}

function flagsIn(text: string): Set<string> {
  return new Set([...text.matchAll(/(?<![\w-])--([a-z][a-z-]*)/g)].map(([, flag]) => flag ?? ''))
}

/** What every page may mention: flags of the program, and the negations of switches. */
function flagsOf(selection: readonly LoadedCommand[]): Set<string> {
  const names = selection.flatMap(({ flags }) =>
    Object.entries(flags).flatMap(([name, flag]) =>
      flag.type === 'boolean' && flag.allowNo ? [name, `no-${name}`] : [name],
    ),
  )
  return new Set(names)
}

interface Section {
  /** The commands that it is about. */
  readonly titles: readonly string[]
  readonly text: string
}

/** A section with a heading, or an entry of the list in comio(1). */
function sectionOf(command: string): Section | undefined {
  const name = pageOfCommand[command] ?? ''
  const parts = page(name).split(
    name === 'comio.1' ? /^\.TP\n\.B (?=comio )|^\.SS /m : /^\.S[SH] /m,
  )
  for (const part of parts.slice(1)) {
    const heading = part.slice(0, part.indexOf('\n')).replaceAll('"', '')
    const further =
      heading === 'comio repl remote'
        ? ['add', 'list', 'set', 'remove'].map((verb) => `repl remote ${verb}`)
        : []
    const titles = [...heading.split(', ').map((title) => title.replace(/^comio /, '')), ...further]
    if (further.length > 0) titles.push('repl pause', 'repl resume')
    if (titles.includes(command)) return { titles, text: part }
  }
  return undefined
}

/** What is said of each flag, by its name. */
function entriesOf(text: string): ReadonlyMap<string, string> {
  const entries = text.split(/^\.TP\n/m).slice(1)
  return new Map(
    entries.flatMap((entry) => {
      const head = entry.split('\n').filter((line, i) => i === 0 || /^\.BI --/.test(line))
      return [...flagsIn(head.join('\n'))].map((flag) => [flag, entry] as const)
    }),
  )
}

const pageOfCommand: Readonly<Record<string, string>> = {
  server: 'comio-server.1',
  'repl status': 'comio-repl.1',
  'repl replay': 'comio-repl.1',
  'repl failed list': 'comio-repl.1',
  'repl failed show': 'comio-repl.1',
  'repl failed retry': 'comio-repl.1',
  'repl failed discard': 'comio-repl.1',
  'repl release': 'comio-repl.1',
  'repl discard': 'comio-repl.1',
  'repl pause': 'comio-repl.1',
  'repl remote add': 'comio-repl.1',
  'repl remote list': 'comio-repl.1',
  'repl remote remove': 'comio-repl.1',
  'repl remote set': 'comio-repl.1',
  'repl resume': 'comio-repl.1',
  'repl conflicts list': 'comio-repl.1',
  'repl conflicts show': 'comio-repl.1',
  'repl conflicts resolve': 'comio-repl.1',
  'repl conflicts policy': 'comio-repl.1',
  'repl verify': 'comio-repl.1',
  'repl promote': 'comio-repl.1',
  'repl demote': 'comio-repl.1',
  'config show': 'comio-config.1',
  'config validate': 'comio-config.1',
  'volume info': 'comio-volume.1',
  'volume dump': 'comio-volume.1',
  'volume rebuild': 'comio-volume.1',
  'volume verify': 'comio-volume.1',
  'token gen': 'comio.1',
  'token list': 'comio.1',
  'token revoke': 'comio.1',
  'volume scrub': 'comio-volume.1',
  bench: 'comio.1',
  demo: 'comio.1',
}

describe('every page', () => {
  test('is listed in package.json, and nothing else is', () => {
    const { man } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'))
    expect([...man].sort()).toEqual(pages.map((name) => `man/${name}`))
  })

  test.each(pages)('%s names itself, its section and the others', (name) => {
    const [stem, section] = name.split('.')
    const text = page(name)
    expect(text.split('\n')[0]).toMatch(new RegExp(`^\\.TH ${stem?.toUpperCase()} ${section} `))
    const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8'))
    expect(text.split('\n')[0]).toContain(`comio ${version}`)
    const referred = [...text.matchAll(/\bcomio(?:-[a-z]+)?(?=(?: ?\(\d\)))/g)].map(([it]) => it)
    const stems = pages.map((each) => each.split('.')[0])
    for (const other of referred) expect(stems).toContain(other)
  })

  const groff = spawnSync('groff', ['--version']).status === 0
  test.skipIf(!groff).each(pages)('%s renders without a warning', (name) => {
    const path = join(projectRoot, 'man', name)
    const { status, stderr, stdout } = spawnSync('groff', ['-man', '-Tutf8', '-ww', path], {
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    expect(status).toBe(0)
    expect(stdout.length).toBeGreaterThan(1000)
  })

  test.each(pages)('%s mentions no flag that does not exist', (name) => {
    const known = new Set([...flagsOf(commands), 'help', 'version'])
    expect([...flagsIn(page(name))].filter((flag) => !known.has(flag))).toEqual([])
  })
})

describe('every command', () => {
  test('has a page, and every page of a command has one', () => {
    expect(Object.keys(pageOfCommand).sort()).toEqual(commands.map(({ name }) => name).sort())
  })

  test('is in comio(1), and no other is', () => {
    const listed = [...page('comio.1').matchAll(/^\.TP\n\.B comio ([a-z ]+)$/gm)].map(
      ([, it]) => it,
    )
    expect(listed.sort()).toEqual(commands.map(({ name }) => name).sort())
  })

  test.each(commands.map((command) => [command.name, command] as const))(
    '%s: all flags are in its page',
    (name, command) => {
      const text = page(pageOfCommand[name] ?? '')
      // Those of comio server are explained in its own page, where config points to.
      const explained = name.startsWith('config') ? text + page('comio-server.1') : text
      const inPage = flagsIn(explained)
      expect(Object.keys(command.flags).filter((flag) => !inPage.has(flag))).toEqual([])
    },
  )

  const ofItsOwn = commands.filter(
    ({ name }) => name !== 'server' && !name.startsWith('config') && sectionOf(name) !== undefined,
  )

  test('has a section of its own, but for the server and what goes by its flags', () => {
    expect(ofItsOwn.length).toBe(commands.length - 3)
  })

  test.each(ofItsOwn.map((command) => [command.name, command] as const))(
    '%s: its own section has all of its flags with their defaults, and no others',
    (name, { flags }) => {
      const { titles, text } = sectionOf(name) as Section
      const referred = text.match(/^Takes the same \w+ as\n\.BR "comio ([a-z ]+)"/m)?.[1]
      const also = referred === undefined ? '' : (sectionOf(referred)?.text ?? '')
      const entries = entriesOf(`${text}\n${also}`)
      const sharing = commands.filter((command) => titles.includes(command.name))
      const known = sharing.flatMap((command) => Object.keys(command.flags))
      expect([...entries.keys()].filter((flag) => !known.includes(flag))).toEqual([])
      const shared = ['url', 'token', 'token-file', 'ca', 'cert', 'key', 'storage', 'config']
      const missing = Object.keys(flags).filter((flag) => {
        return !shared.includes(flag) && !entries.has(flag) && !text.includes(`--${flag}\nprints`)
      })
      expect(missing).toEqual([])
      for (const [flag, spec] of Object.entries(flags)) {
        if (spec.type === 'boolean' || spec.default === undefined || shared.includes(flag)) continue
        expect(entries.get(flag)).toContain(`Default: ${spec.default}`)
      }
    },
  )

  test('comio-server(1) explains the flags of the server alone', () => {
    const server = commands.filter(({ name }) => name === 'server')
    const own = flagsOf(server)
    expect([...flagsIn(page('comio-server.1'))].filter((flag) => !own.has(flag))).toEqual([])
  })
})

describe('every key of the configuration', () => {
  const text = page('comio-config.1')
  const entries = new Map(
    text
      .slice(text.indexOf('.SH KEYS'), text.indexOf('.SH EXAMPLES'))
      .split(/^\.TP\n\.B /m)
      .slice(1)
      .map((entry) => [entry.slice(0, entry.indexOf('\n')), entry] as const),
  )

  test('is in comio-config(1), in the same order, and no other is', () => {
    expect([...entries.keys()]).toEqual(configKeyNames)
  })

  test.each(configKeyNames)('%s stands there with its flag and its default', (key) => {
    const entry = entries.get(key) ?? ''
    const spec = specOf(key)
    const flag = spec.flag === undefined ? undefined : `--${spec.flag} .`
    expect(/^Flag\n\.BR (.*)$/m.exec(entry)?.[1]).toBe(flag)
    const written =
      spec.default === undefined
        ? spec.unset
        : typeof spec.default === 'object'
          ? 'none'
          : formatValue(spec.kind, spec.default)
    expect(/^Default: (.*)$/m.exec(entry)?.[1]).toBe(written)
  })

  test('of the server page exists', () => {
    const named = [...page('comio-server.1').matchAll(/^\.RB \( ([a-z_.]+) \)/gm)]
    const flagged = configKeyNames.filter((key) => specOf(key).flag !== undefined)
    expect(named.map(([, key]) => key)).toEqual(flagged)
  })
})

describe('every error code', () => {
  const sources = sourceFiles(join(projectRoot, 'src')).map((path) => readFileSync(path, 'utf8'))
  const byClass = sources.flatMap((text) =>
    matches(text, /\bcode(?:: string)? = '([A-Z][A-Z0-9_]+)'/g),
  )
  const byLiteral = sources.flatMap((text) => matches(text, /\bcode: '([A-Z][A-Z0-9_]+)'/g))
  const documented = matches(page('comio-errors.7'), /^\.TP\n\.B ([A-Z][A-Z0-9_]+)$/gm)

  test('of a class is in comio-errors(7)', () => {
    expect(byClass.length).toBeGreaterThan(30)
    expect([...new Set(byClass)].filter((code) => !documented.includes(code)).sort()).toEqual([])
  })

  test('in comio-errors(7) exists in the sources, and stands there once', () => {
    const known = new Set([...byClass, ...byLiteral])
    expect(documented.filter((code) => !known.has(code))).toEqual([])
    expect(documented.length).toBe(new Set(documented).size)
  })
})

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, found]) => found ?? '')
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => join(folder, name))
}

test('the synopsis of comio-repl has each of its commands', () => {
  const synopsis = page('comio-repl.1').split('.SH SYNOPSIS')[1]?.split('.SH ')[0] ?? ''
  const missing = Object.entries(pageOfCommand).filter(([command, name]) => {
    const verb = command.split(' ').at(-1) ?? command
    return name === 'comio-repl.1' && !new RegExp(`\\b${verb}\\b`).test(synopsis)
  })
  expect(missing).toEqual([])
})
