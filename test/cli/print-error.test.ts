import { afterEach, expect, test, vi } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { UsageError } from '../../src/cli/errors.ts'
import { isSilent, printError } from '../../src/cli/print-error.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

function printed(thrown: unknown, options: { json?: boolean; debug?: boolean } = {}): string {
  let text = ''
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    return true
  })
  printError(thrown, { json: false, debug: false, ...options })
  vi.restoreAllMocks()
  return text
}

test('an error of ours has message, hint and code', () => {
  expect(printed(new UsageError('no', { hint: 'Say yes.' }))).toBe(
    'error: no\nhint:  Say yes.\ncode:  USAGE\n',
  )
  expect(printed(new UsageError('no'))).toBe('error: no\ncode:  USAGE\n')
})

test('an error of others is one line, and its stack is shown on demand only', () => {
  const error = new Error('first\nsecond')
  expect(printed(error)).toBe(
    'error: first\nhint:  Set DEBUG=1 to see where this comes from.\ncode:  UNEXPECTED\n',
  )
  expect(printed(error, { debug: true })).toContain(error.stack)
  expect(printed('just text')).toContain('error: just text\n')
})

test('a broken invariant shows its place, asked for or not', () => {
  expect(printed(new AssertionError('two is not one'))).toMatch(/\n\s+at .*print-error\.test\.ts/)
})

test('as JSON it is one document, facts included', () => {
  const error = new UsageError('no', { hint: 'h', facts: { seq: 3 } })
  const text = printed(error, { json: true })
  expect(JSON.parse(text)).toEqual({
    error: { message: 'no', code: 'USAGE', hint: 'h', facts: { seq: 3 } },
  })
  expect(text.trim()).not.toContain('\n')
})

test('an exit that was asked for is silent', () => {
  expect(isSilent(Object.assign(new Error('x'), { code: 'EEXIT' }))).toBe(true)
  expect(isSilent(new Error('x'))).toBe(false)
  expect(isSilent(undefined)).toBe(false)
})
