import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { behind, remoteStatus, statusDocument } from '../tui/status-fixture.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const comio = `'${process.execPath}' '${root}bin/comio'`
const tmuxIsMissing = spawnSync('tmux', ['-V']).status !== 0
const binaryIsMissing = !existsSync(`${root}dist/src/cli/run.js`)
const reason = tmuxIsMissing ? 'tmux is not installed' : 'the program is not built'
const isSkipped = tmuxIsMissing || binaryIsMissing
if (isSkipped) process.stderr.write(`the status screen is not tried in a terminal: ${reason}\n`)

/** A terminal that can be looked at: tmux with a server of its own. */
class Terminal {
  #socket = ''

  async open(columns: number, rows: number): Promise<void> {
    // A name of its own each time: the server before may still be on its way out.
    this.#socket = `comio-test-${process.pid}-${Math.random().toString(36).slice(2)}`
    const size = ['-x', `${columns}`, '-y', `${rows}`]
    await this.#tmux('-f', '/dev/null', 'new-session', '-d', ...size, 'PS1="ready> " bash --norc')
    await this.until('ready>')
  }

  async type(...keys: readonly string[]): Promise<void> {
    await this.#tmux('send-keys', ...keys)
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`)
  }

  async text(): Promise<string> {
    return this.#tmux('capture-pane', '-p')
  }

  /** Resolves with the screen as soon as `wanted` is on it. */
  async until(wanted: string): Promise<string> {
    let text = ''
    await vi.waitUntil(
      async () => {
        text = await this.text()
        return text.includes(wanted)
      },
      { timeout: 60_000, interval: 50 },
    )
    return text
  }

  async untilLeft(): Promise<void> {
    await vi.waitUntil(async () => (await this.#flag('alternate_on')) === '0', { timeout: 60_000 })
    expect(await this.#flag('cursor_flag')).toBe('1')
  }

  async isOnAlternateScreen(): Promise<boolean> {
    return (await this.#flag('alternate_on')) === '1'
  }

  /** The process that the shell runs now. */
  async childPid(): Promise<number> {
    const shell = (await this.#tmux('display-message', '-p', '#{pane_pid}')).trim()
    const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'ppid=,pid='])
    const child = stdout.split('\n').find((line) => line.trim().split(/\s+/)[0] === shell)
    return Number(child?.trim().split(/\s+/)[1])
  }

  async close(): Promise<void> {
    await this.#tmux('kill-server')
  }

  async #flag(name: string): Promise<string> {
    return (await this.#tmux('display-message', '-p', `#{${name}}`)).trim()
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('tmux', ['-L', this.#socket, ...args])
    return stdout
  }
}

describe.skipIf(isSkipped)('comio repl status --watch in a terminal', () => {
  const terminal = new Terminal()
  let document: ReplicationStatusDocument
  let site: Server
  let port: number

  beforeEach(async () => {
    document = statusDocument(remoteStatus())
    site = createServer((_, response) => {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(document))
    })
    site.listen(0, '127.0.0.1')
    await once(site, 'listening')
    port = (site.address() as AddressInfo).port
    await terminal.open(80, 24)
    await terminal.type('echo what was here before', 'Enter')
    await terminal.until('\nwhat was here before')
  })

  afterEach(async () => {
    await terminal.close()
    site.closeAllConnections()
    site.close()
  })

  async function watch(): Promise<void> {
    const options = `--watch --interval 100ms --url http://127.0.0.1:${port}`
    await terminal.type(`${comio} repl status ${options}; echo exit $?`, 'Enter')
    await terminal.until('site-b has everything up to seq 1,284')
    expect(await terminal.isOnAlternateScreen()).toBe(true)
  }

  /** Back on the old screen, with a terminal that echoes and edits lines. */
  async function expectRestored(exit: string): Promise<void> {
    await terminal.untilLeft()
    const text = await terminal.until(`exit ${exit}`)
    expect(text).toContain('what was here before')
    expect(text).not.toContain('has everything')
    await terminal.type('stty -a', 'Enter')
    const settings = await terminal.until('iexten')
    expect(settings).toMatch(/[^-]icanon/)
    expect(settings).toMatch(/[^-]echo\b/)
  }

  test('q leaves the terminal as it was', async () => {
    await watch()
    await terminal.type('q')
    await expectRestored('0')
  })

  test('Ctrl-C leaves the terminal as it was', async () => {
    await watch()
    await terminal.type('C-c')
    await expectRestored('0')
  })

  test('a signal leaves the terminal as it was', async () => {
    await watch()
    process.kill(await terminal.childPid(), 'SIGTERM')
    await expectRestored('0')
  })

  test('shows what changes, and a site that goes away and comes back', async () => {
    await watch()
    document = statusDocument(remoteStatus({ ...behind, events_queued: 1807 }))
    await terminal.until('site-b is 523 changes (12.0 MiB) behind')
    site.closeAllConnections()
    site.close()
    await once(site, 'close')
    await terminal.until('cannot be asked since')
    site.listen(port, '127.0.0.1')
    document = statusDocument(remoteStatus())
    await terminal.until('site-b has everything up to seq 1,284')
    expect(await terminal.text()).not.toContain('cannot be asked')
  })

  test('uses the width there is, when the window changes', async () => {
    await watch()
    await terminal.resize(40, 24)
    const narrow = await terminal.until('http://127.0.0.1:8081')
    expect(Math.max(...narrow.split('\n').map((line) => line.length))).toBeLessThanOrEqual(40)
    await terminal.resize(120, 40)
    await terminal.until('site-b has everything up to seq 1,284')
    await terminal.type('q')
    await expectRestored('0')
  })
})
