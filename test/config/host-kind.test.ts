import { expect, test } from 'vitest'
import { isLoopbackHost, isWildcardHost, urlOfHost } from '../../src/config/host-kind.ts'

test.each([
  '127.0.0.1',
  '127.255.0.9',
  '::1',
  '[::1]',
  '0:0:0:0:0:0:0:1',
  'localhost',
  '::ffff:127.0.0.1',
])('%s stays on this machine', (host) => {
  expect(isLoopbackHost(host)).toBe(true)
  expect(isWildcardHost(host)).toBe(false)
})

test.each(['0.0.0.0', '::', '[::]', '0:0:0:0:0:0:0:0'])('%s means all addresses', (host) => {
  expect(isWildcardHost(host)).toBe(true)
  expect(isLoopbackHost(host)).toBe(false)
})

test.each(['10.0.0.1', '128.0.0.1', 'example.com', '127.0.0.1.evil.com', 'localhost.evil.com', ''])(
  '%s is elsewhere',
  (host) => {
    expect(isLoopbackHost(host)).toBe(false)
    expect(isWildcardHost(host)).toBe(false)
  },
)

test('an IPv6 address stands in brackets in a URL', () => {
  expect(urlOfHost('::1', 80)).toBe('http://[::1]:80')
  expect(urlOfHost('10.0.0.1', 80)).toBe('http://10.0.0.1:80')
})
