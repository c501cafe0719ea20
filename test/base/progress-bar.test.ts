import { expect, test } from 'vitest'
import { type Progress, ProgressBar } from '../../src/base/progress-bar.ts'

const progress: Progress = {
  phase: 'log',
  done: 500,
  total: 1000,
  elapsedMs: 2000,
  figures: ['500/1000', '250 records'],
}

test('a terminal gets one line that is rewritten and removed', () => {
  const written: string[] = []
  const bar = new ProgressBar({ isTTY: true, columns: 80, write: (text) => written.push(text) })
  for (let elapsedMs = 0; elapsedMs < 1000; elapsedMs += 10) bar.update({ ...progress, elapsedMs })
  bar.close()
  expect(written).toHaveLength(11)
  expect(written.every((text) => text.startsWith('\r\u001b[2K') && !text.includes('\n'))).toBe(true)
  expect(written.at(-1)).toBe('\r\u001b[2K')
})

test('without a terminal there is a line now and then, plain', () => {
  const written: string[] = []
  const bar = new ProgressBar({ write: (text) => written.push(text) })
  for (let elapsedMs = 0; elapsedMs < 12_000; elapsedMs += 10)
    bar.update({ ...progress, elapsedMs })
  bar.update({ ...progress, done: 1000, elapsedMs: 12_001 })
  bar.close()
  expect(written).toHaveLength(3)
  expect(written.join('')).not.toContain('\u001b')
})
