import { describe, expect, it } from 'vitest'
import { createLogger, type LoggingOptions } from '../../src/server/logging/logging.ts'
import { formatPrettyLine } from '../../src/server/logging/pretty-line.ts'
import { StorageFullError } from '../../src/store/model/errors.ts'

function capture(options: Partial<LoggingOptions> = {}) {
  const lines: string[] = []
  const logger = createLogger({
    level: 'info',
    format: 'json',
    secrets: [],
    colours: false,
    write: (line) => lines.push(line),
    ...options,
  })
  return { lines, logger, records: () => lines.map((line) => JSON.parse(line)) }
}

describe('the log', () => {
  it('writes one JSON record a line, with the level as a word and an ISO time', () => {
    const { logger, lines, records } = capture()
    logger.info({ url: 'http://127.0.0.1:1' }, 'listening')
    logger.error({ event_id: '1-b-k' }, 'Failed to replicate event')
    expect(lines.every((line) => line.endsWith('\n') && line.trim().split('\n').length === 1)).toBe(
      true,
    )
    expect(records()[0]).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      url: 'http://127.0.0.1:1',
      msg: 'listening',
    })
    expect(records()[1]).toMatchObject({ level: 'error', msg: 'Failed to replicate event' })
  })

  it('keeps to its level', () => {
    const { logger, lines } = capture({ level: 'warn' })
    logger.debug({}, 'a')
    logger.info({}, 'b')
    logger.warn({}, 'c')
    expect(lines).toHaveLength(1)
  })

  it('gives children their fields', () => {
    const { logger, records } = capture()
    logger.child({ component: 'replication' }).child({ remote: 'default' }).warn({}, 'x')
    expect(records()[0]).toMatchObject({ component: 'replication', remote: 'default' })
  })

  it('shows what an error said and which it was, without a stack for those thrown on purpose', () => {
    const { logger, records } = capture()
    logger.error({ error: new StorageFullError({ wanted: 1 }) }, 'x')
    logger.error({ error: new TypeError('a mistake') }, 'x')
    logger.error({ error: 'remote returned 400: no' }, 'x')
    expect(records()[0].error).toBe(
      'STORAGE_FULL: the volume has no room for this write; reads and deletes go on',
    )
    expect(records()[1].error).toContain('logging.test.ts')
    expect(records()[2].error).toBe('remote returned 400: no')
  })

  it('hides secrets by the name of the field and, anywhere, by their value', () => {
    const secret = 'f00d"f00d-f00df00d'
    const { logger, lines } = capture({ secrets: [secret, 'abc'] })
    logger.info({ token: 'short', headers: { authorization: 'Bearer x' } }, 'a')
    logger.info({ error: new Error(`remote said ${secret}`) }, `b ${secret} abc`)
    logger.child({ note: secret }).info({}, 'c')
    const text = lines.join('')
    expect(text).not.toContain('short')
    expect(text).not.toContain('Bearer x')
    expect(text).not.toContain('f00d')
    expect(text).toContain('[hidden]')
    // Too short to be told from a word.
    expect(text).toContain('abc')
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow()
  })
})

describe('the pretty log', () => {
  it('shows time, level, component, message and fields on one line', () => {
    const { logger, lines } = capture({ format: 'pretty' })
    logger.child({ component: 'replication' }).warn({ remote: 'default', why: 'a b' }, 'gone')
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} warn {2}replication: gone remote=default why="a b"\n$/,
    )
  })

  it('is coloured only when asked', () => {
    const line = '{"level":"error","time":"2025-01-01T00:00:00.000Z","msg":"m"}'
    expect(formatPrettyLine(line, true)).toContain('\u001b[31m')
    expect(formatPrettyLine(line, false)).toBe('00:00:00.000 ERROR m\n')
  })

  it('lets no control character of a field reach the terminal', () => {
    const { logger, lines } = capture({ format: 'pretty' })
    logger.info({ key: 'a\u001b[2J\u009b31m\u007f\nb' }, 'odd')
    expect(lines[0]?.slice(0, -1)).toMatch(/^[\x20-\x7e]*$/)
  })

  it('passes on what is no record', () => {
    expect(formatPrettyLine('plain\n', true)).toBe('plain\n')
  })
})
