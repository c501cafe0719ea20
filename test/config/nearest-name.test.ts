import { expect, test } from 'vitest'
import { nearestName } from '../../src/config/nearest-name.ts'

const names = ['storage_path', 'storage_size', 'host', 'port']

test.each([
  ['prot', 'port'],
  ['hots', 'host'],
  ['storagePath', 'storage_path'],
  ['storage-size', 'storage_size'],
  ['storage_pth', 'storage_path'],
  ['por', 'port'],
])('%s is near to %s', (wrong, right) => {
  expect(nearestName(wrong, names)).toBe(right)
})

test.each(['', 'x', 'completely', '___'])('%j is near to nothing', (word) => {
  expect(nearestName(word, names)).toBeUndefined()
})
