import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { loadCommands } from './load-commands.ts'

const commands = await loadCommands()

describe.each(commands.map((command) => [command.name, command] as const))('%s', (_, command) => {
  test('has a summary of one line, a description and examples', () => {
    expect(command.summary).toMatch(/^[A-Z].{10,58}\.$/)
    expect(command.description?.length).toBeGreaterThan(60)
    expect(command.examples?.length).toBeGreaterThan(0)
    for (const example of command.examples ?? []) {
      expect(example).toEqual(expect.stringContaining(`<%= config.bin %> ${command.name}`))
    }
  })

  test('says of each flag what it is for', () => {
    for (const [name, flag] of Object.entries(command.flags)) {
      expect(flag.summary, name).toMatch(/^[A-Z].*\.$/)
    }
  })

  test('is at most 60 lines and leaves the work to src', () => {
    const text = readFileSync(command.path, 'utf8')
    expect(text.split('\n').length - 1).toBeLessThanOrEqual(60)
    expect(text).not.toMatch(/console\.|process\.exit\b/)
  })
})

test('where data is printed there is --json', () => {
  const printing = commands.filter(({ name }) => !['server', 'demo', 'token gen'].includes(name))
  expect(printing.length).toBeGreaterThan(4)
  for (const { name, flags } of printing) expect(Object.keys(flags), name).toContain('json')
})
