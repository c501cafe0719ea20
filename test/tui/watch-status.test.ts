import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { watchStatus } from '../../src/tui/watch-status.ts'
import { behind, remoteStatus, statusDocument } from './status-fixture.ts'

const enterAlternateScreen = '\u001b[?1049h'
const leaveAlternateScreen = '\u001b[?1049l'
const showCursor = '\u001b[?25h'
const hideCursor = '\u001b[?25l'

/** A terminal in memory: what is written to it, keys that are pressed, and its raw mode. */
class FakeTerminal {
  written = ''
  raw = false
  readonly #changed = new EventEmitter()
  readonly stdout: NodeJS.WriteStream
  readonly stdin: NodeJS.ReadStream

  constructor(isTTY = true) {
    const stdout = new PassThrough()
    stdout.on('data', (chunk: Buffer) => {
      this.written += chunk.toString()
      this.#changed.emit('written')
    })
    this.stdout = Object.assign(stdout, { isTTY, columns: 80, rows: 24 }) as never
    const setRawMode = (raw: boolean): void => {
      this.raw = raw
    }
    const noop = (): void => undefined
    this.stdin = Object.assign(new PassThrough(), {
      ...{ isTTY, setRawMode, ref: noop, unref: noop },
    }) as never
  }

  press(key: string): void {
    this.stdin.push(key)
  }

  async untilWritten(text: string): Promise<void> {
    while (!this.written.includes(text)) {
      await new Promise((resolve) => this.#changed.once('written', resolve))
    }
  }

  expectRestored(): void {
    expect(this.written.split(enterAlternateScreen)).toHaveLength(2)
    expect(this.written.lastIndexOf(leaveAlternateScreen)).toBeGreaterThan(
      this.written.lastIndexOf(enterAlternateScreen),
    )
    expect(this.written.lastIndexOf(showCursor)).toBeGreaterThan(
      this.written.lastIndexOf(hideCursor),
    )
    expect(this.raw).toBe(false)
  }
}

function answering(...documents: readonly ReplicationStatusDocument[]) {
  let next = 0
  return {
    status: async () => {
      const document = documents[Math.min(next++, documents.length - 1)]
      if (document === undefined) throw new Error('nobody answers')
      return document
    },
  }
}

function watch(terminal: FakeTerminal, client = answering(statusDocument(remoteStatus()))) {
  const stop = new AbortController()
  const { stdout, stdin } = terminal
  const url = 'http://127.0.0.1:8080'
  const done = watchStatus({ client, url, intervalMs: 5, stdout, stdin, signal: stop.signal })
  return { done, stop }
}

afterEach(() => vi.unstubAllEnvs())

describe('watchStatus', () => {
  test.each([
    ['q', 'q'],
    ['Ctrl-C', '\u0003'],
  ])('%s quits and leaves the terminal as it was', async (_, key) => {
    const terminal = new FakeTerminal()
    const { done } = watch(terminal)
    await terminal.untilWritten('site-b has everything up to seq 1,284')
    expect(terminal.raw).toBe(true)
    terminal.press(key)
    await done
    terminal.expectRestored()
  })

  test('its signal ends it and leaves the terminal as it was', async () => {
    const terminal = new FakeTerminal()
    const { done, stop } = watch(terminal)
    await terminal.untilWritten('q quits')
    stop.abort()
    await done
    terminal.expectRestored()
  })

  test('shows what changes', async () => {
    const terminal = new FakeTerminal()
    let now = remoteStatus(behind)
    const { done } = watch(terminal, { status: async () => statusDocument(now) })
    await terminal.untilWritten('523 changes')
    expect(terminal.written).toContain('last minute')
    expect(terminal.written).toContain('█')
    now = remoteStatus()
    await terminal.untilWritten('has everything')
    terminal.press('q')
    await done
  })

  test('a site that does not answer is shown and asked again', async () => {
    const terminal = new FakeTerminal()
    let isUp = false
    const client = {
      status: async () => {
        if (!isUp) throw new Error('connection refused')
        return statusDocument(remoteStatus())
      },
    }
    const { done } = watch(terminal, client)
    await terminal.untilWritten('cannot be asked since')
    await terminal.untilWritten('connection refused')
    isUp = true
    await terminal.untilWritten('has everything')
    terminal.press('q')
    await done
    terminal.expectRestored()
  })

  test('a failure in the screen itself restores the terminal and is reported', async () => {
    const terminal = new FakeTerminal()
    const broken = statusDocument({ ...remoteStatus(), in_flight: null as never })
    const { done } = watch(terminal, answering(broken))
    await expect(done).rejects.toThrow(TypeError)
    terminal.expectRestored()
  })

  test('asks one question at a time, however slow the site is', async () => {
    const terminal = new FakeTerminal()
    let asked = 0
    const client = {
      status: () => {
        asked++
        return new Promise<never>(() => undefined)
      },
    }
    const { done } = watch(terminal, client)
    await terminal.untilWritten('asking')
    terminal.press('q')
    await done
    expect(asked).toBe(1)
  })

  test('a key that was pressed before anything was drawn counts too', async () => {
    const terminal = new FakeTerminal()
    terminal.press('q')
    await watch(terminal, answering(statusDocument(remoteStatus()))).done
    expect(terminal.raw).toBe(false)
  })

  test('a window that is too small for all of it shows the beginning, line by line', async () => {
    const terminal = new FakeTerminal()
    Object.assign(terminal.stdout, { columns: 40, rows: 10 })
    const { done } = watch(terminal, answering(statusDocument(remoteStatus(behind))))
    await terminal.untilWritten('backlog')
    terminal.press('q')
    await done
    const frame = stripVTControlCharacters(terminal.written).split('\n')
    expect(frame.filter((line) => line.includes('backlog') && line.includes('since'))).toEqual([])
  })

  test('without a terminal it prints one plain block', async () => {
    const terminal = new FakeTerminal(false)
    await watch(terminal).done
    await terminal.untilWritten('has everything')
    expect(terminal.written).not.toContain('\u001b')
    expect(terminal.written.endsWith('\n')).toBe(true)
  })

  test('without a terminal a site that does not answer is an error', async () => {
    const terminal = new FakeTerminal(false)
    await expect(watch(terminal, answering()).done).rejects.toThrow('nobody answers')
  })

  test('NO_COLOR leaves out colours', async () => {
    vi.stubEnv('NO_COLOR', '1')
    const terminal = new FakeTerminal()
    const { done } = watch(terminal)
    await terminal.untilWritten('has everything')
    terminal.press('q')
    await done
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control sequences
    expect(terminal.written).not.toMatch(/\u001b\[[\d;]*m/)
  })
})
