import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import type { RemoteDocument } from '../../src/admin/protocol.ts'
import { formatRemotes } from '../../src/cli/format-remotes.ts'

const remote: RemoteDocument = {
  name: 'site-c',
  urls: ['https://c1.example.com', 'https://c2.example.com'],
  source: 'added',
  paused: false,
  epoch: 7,
  buckets: ['docs'],
  exclude_buckets: [],
  prefixes: [],
  exclude_prefixes: ['tmp/'],
  settings: { mode: 'sync', bandwidth_limit: '10MiB' },
}

const lines = (text: string) =>
  stripVTControlCharacters(text)
    .split('\n')
    .filter((line) => line.startsWith('│'))
    .map((line) => line.split('│').map((cell) => cell.trim()))

test('a remote shows its addresses, its own settings and what it gets', () => {
  const [, ...rows] = lines(formatRemotes([remote]))
  expect(rows.map((row) => row[3])).toEqual([
    'https://c1.example.com',
    'https://c2.example.com',
    'mode: sync',
    'bandwidth_limit: 10MiB',
  ])
  expect(rows.map((row) => row[4]).join('|')).toBe('docs/|not tmp/*||')
})

test('of a thousand long prefixes a few are shown, and how many more there are', () => {
  const prefixes = Array.from({ length: 1000 }, (_, index) => `p${index}-${'x'.repeat(1000)}`)
  const text = formatRemotes([{ ...remote, buckets: [], exclude_prefixes: [], prefixes }])
  const shown = lines(text)
    .map((row) => row[4])
    .join('')
  expect(shown).toContain('p7-')
  expect(shown).not.toContain('p8-')
  expect(shown).toContain('and 992 more')
})
