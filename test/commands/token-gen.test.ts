import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { runComio } from '../cli/run-comio.ts'

test('a token is 64 hex digits alone, and another one each time', async () => {
  const [first, second] = await Promise.all([
    runComio(['token', 'gen']),
    runComio(['token', 'gen']),
  ])
  expect(first.stdout).toMatch(/^[0-9a-f]{64}\n$/)
  expect(first.stderr).toBe('')
  expect(first.code).toBe(0)
  expect(second.stdout).not.toBe(first.stdout)
})

test('length and form can be chosen', async () => {
  const { stdout } = await runComio(['token', 'gen', '--bytes', '48', '--format', 'base64url'])
  expect(stdout).toMatch(/^[\w-]{64}\n$/)
})

test('with --hash, the hash is the second line, and the labels are not in the way', async () => {
  const { stdout, stderr } = await runComio(['token', 'gen', '--hash'])
  const [token = '', shown, ...rest] = stdout.split('\n')
  expect(token).toMatch(/^[0-9a-f]{64}$/)
  expect(shown).toBe(`sha256:${hash('sha256', token, 'hex')}`)
  expect(rest).toEqual([''])
  expect(stderr).toContain('for whoever accepts it')
})
