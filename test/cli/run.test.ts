import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { runComio, runHere } from './run-comio.ts'

describe.concurrent('help and version', () => {
  test('comio alone, help and --help show the commands and fit 80 columns', async ({ expect }) => {
    const alone = await runComio([])
    const word = await runComio(['help'])
    const flag = await runComio(['--help'])
    expect(alone).toEqual(flag)
    expect(word).toEqual(flag)
    expect(flag.code).toBe(0)
    expect(flag.stderr).toBe('')
    for (const name of ['server', 'repl status', 'token gen', 'config validate', 'demo', 'bench']) {
      expect(flag.stdout).toContain(`  ${name} `)
    }
    expect(flag.stdout).toContain('$ comio demo')
    for (const line of flag.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })

  test('a topic lists its commands, a command shows flags and examples', async ({ expect }) => {
    const topic = await runComio(['repl', '--help'])
    expect(topic.stdout).toMatch(/repl replay {2,}Send changes/)
    expect(await runComio(['repl'])).toEqual(topic)
    const command = await runComio(['help', 'repl', 'failed', 'list'])
    expect(command.stdout).toMatch(/FLAGS\n(.*\n)*\nDESCRIPTION\n(.*\n)*\nEXAMPLES\n/)
    expect(await runComio(['repl', 'failed', 'list', '-h'])).toEqual(command)
  })

  test('--version names the program, Node and the machine', async ({ expect }) => {
    const { stdout, code } = await runComio(['--version'])
    expect(stdout).toMatch(/^comio \d+\.\d+\.\d+ \(Node 2\d\.\d+\.\d+, \w+ \w+\)\n$/)
    expect(code).toBe(0)
  })
})

/** A wrong command line, and what is said about it. Exit code 2, and nothing on stdout. */
const wrong: readonly (readonly [string[], RegExp])[] = [
  [['frobnicate'], /no command "frobnicate"\nhint: {2}comio --help lists/],
  [['serve'], /no command "serve"\nhint: {2}Did you mean comio server\?/],
  [['repl', 'statsu'], /no command "repl statsu"\nhint: {2}Did you mean comio repl status\?/],
  [['repl', 'nothing', '--json'], /"message":"there is no command \\"repl nothing\\""/],
  [['serverr', '--help'], /Did you mean comio server\?/],
  [['--port', '9000'], /a command must come before --port/],
  [['token', 'gen', '--byte', '3'], /no flag --byte\nhint: {2}Did you mean --bytes\?/],
  [['token', 'gen', '--bytes', '8'], /--bytes must be an integer greater than or equal to 16/],
  [['token', 'gen', '--bytes', 'many'], /--bytes must be an integer/],
  [['token', 'gen', '--format', 'xml'], /--format must be one of: hex, base64url/],
  [['token', 'gen', 'now'], /an argument that this command does not take/],
  [['volume', 'info', '/srv/comio'], /not take\nhint: {2}A volume is named with --storage PATH/],
  [
    ['repl', 'replay'],
    /Exactly one of the following must be provided: --all, --bucket, --failed, --from, --since/,
  ],
  [['repl', 'replay', '--all', '--failed'], /--all cannot be used with --failed/],
  [['repl', 'status', '--watch', '--json'], /--watch cannot be used with --json/],
  [['repl', 'status', '--interval', 'often'], /--interval must be a duration/],
  [['repl', 'status', '--url', 'site-a'], /--url must be an address/],
  [['repl', 'status', '--url', 'http://a:b@127.0.0.1'], /--url must hold a host and a port/],
  [
    ['repl', 'status', '--token', 'a', '--token-file', 'b'],
    /--token-file cannot be used with --token/,
  ],
  [['repl', 'status', '--token-file', '/does/not/exist'], /--token-file: cannot read/],
  [['repl', 'status', '--token', 'a b'], /the token must be 1 to 512 visible ASCII/],
  [['bench', '--size', 'huge'], /--size must be a size/],
  [['config', 'show', '--port', 'x'], /flag --port: server\.port is "x"/],
  [['server', '--config', '/does/not/exist.yaml'], /cannot read \/does\/not\/exist\.yaml/],
]

describe('a wrong command line ends with 2, says why and prints nothing:', () => {
  test.each(wrong)('%j', async (args, said) => {
    const { code, stdout, stderr } = await runHere(args)
    expect(stderr).toMatch(said)
    expect(stdout).toBe('')
    expect(code).toBe(2)
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})

describe('secrets', () => {
  test.each([
    [['server', '--replication-tokn', 'SECRET']],
    [['server', '--replication-tokn=SECRET']],
    [['server', 'SECRET']],
    [['server', '--replication-token', 'SEC RET']],
    [['repl', 'status', '--token=SECRET', '--token-file=x']],
    [['repl', 'status', '--token=SEC RET']],
    [['bench', '--tokn', 'SECRET', '--json']],
  ])('do not show in a complaint about %j', async (args) => {
    const { code, stdout, stderr } = await runHere(args)
    expect(code).toBe(2)
    expect(stdout + stderr).not.toMatch(/SECRET|SEC RET/)
  })
})

describe.concurrent('output', () => {
  test('an error is one JSON document on stderr with --json', async ({ expect }) => {
    const { stdout, stderr, code } = await runComio([
      'repl',
      'status',
      '--json',
      '--url',
      'http://127.0.0.1:1',
    ])
    expect(code).toBe(3)
    expect(stdout).toBe('')
    const { error } = JSON.parse(stderr)
    expect(error.code).toBe('SITE_UNREACHABLE')
    expect(error.message).toContain('http://127.0.0.1:1')
    expect(error.hint).toContain('--url')
  })

  test('an error names its code and shows a stack only for DEBUG', async ({ expect }) => {
    const args = ['repl', 'status', '--url', 'http://127.0.0.1:1']
    const plain = await runComio(args)
    expect(plain.stderr).toMatch(/^error: .*\nhint: {2}.*\ncode: {2}SITE_UNREACHABLE\n$/)
    const debug = await runComio(args, { env: { DEBUG: '1' } })
    expect(debug.stderr).toMatch(/\n\s+at /)
  })

  test('has no colour without a terminal, and none is forced by NO_COLOR', async ({ expect }) => {
    for (const env of [{}, { NO_COLOR: '1' }, { NO_COLOR: '1', TERM: 'xterm-256color' }]) {
      const { stderr, stdout } = await runComio(['repl', 'statsu'], { env })
      expect(stdout + stderr).not.toContain('\u001b[')
    }
  })

  test('what stdout does not take is an error in words', async ({ expect }) => {
    const full = await open('/dev/full', 'w')
    try {
      const { code, stderr } = await runComio(['--version'], { stdout: full.fd })
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /^error: the output could not be written: ENOSPC.*\nhint: .*\ncode: {2}OUTPUT_FAILED\n$/,
      )
    } finally {
      await full.close()
    }
  })

  test('a reader that goes away early is no error', async ({ expect }) => {
    const program = fileURLToPath(new URL('./comio-from-source.ts', import.meta.url))
    const child = spawn(process.execPath, [program, '--help'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const code = await new Promise((resolve) => child.on('close', resolve))
    expect(stderr).toBe('')
    expect(code).toBe(0)
  })
})

test('no command loads what it does not need: token gen and help stay light', async () => {
  const spy = `data:text/javascript,${encodeURIComponent(`
    import { registerHooks } from 'node:module'
    import { writeSync } from 'node:fs'
    registerHooks({ load(url, context, next) { writeSync(2, url + '\\n'); return next(url, context) } })
  `)}`
  const heavy =
    /node_modules\/(?!@oclif\/)(zod|undici|yaml|ink|react|pino|fastify|classic-level|cli-table3|prom-client)\//
  for (const args of [['token', 'gen'], ['--help'], ['server', '--help']]) {
    const { code, stderr } = await runComio(args, { nodeFlags: ['--import', spy] })
    expect(code).toBe(0)
    expect(stderr).toContain('/src/cli/run.ts')
    expect(stderr.split('\n').filter((url) => heavy.test(url))).toEqual([])
  }
})
