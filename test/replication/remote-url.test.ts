import { expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { createHttpTransport } from '../../src/replication/http/http-transport.ts'
import { parseRemoteUrl } from '../../src/replication/http/remote-url.ts'
import { BadRemoteUrlError, PlaintextRefusedError } from '../../src/replication/wire/errors.ts'
import { unlimitedTraffic } from './memory-pair.ts'

test('an address is split into what one connects to and a path before /admin', () => {
  expect(parseRemoteUrl('https://site-b.example.com/comio/', 'the remote')).toEqual({
    origin: 'https://site-b.example.com',
    prefix: '/comio',
    base: 'https://site-b.example.com/comio',
    isPlaintext: false,
    isLoopback: false,
  })
  expect(parseRemoteUrl('http://[::1]:9000', 'the remote')).toMatchObject({ isLoopback: true })
  expect(parseRemoteUrl('http://127.3.2.1:9000', 'it').isLoopback).toBe(true)
  expect(parseRemoteUrl('http://127.0.0.1.example.com', 'it').isLoopback).toBe(false)
})

test.each([
  'site-b.example.com',
  'ftp://site-b',
  'http://user:pass@site-b',
  'http://site-b/?a=b',
  'http://site-b/#x',
  '',
])('%j is no address of a site', (text) => {
  expect(() => parseRemoteUrl(text, 'the remote')).toThrow(BadRemoteUrlError)
})

test('a token is not sent readable beyond loopback, unless allowed', async () => {
  const traffic = unlimitedTraffic(systemClock)
  const make = (url: string, allowPlaintext: boolean) =>
    createHttpTransport({
      url,
      token: 'x',
      workers: 1,
      allowPlaintext,
      traffic,
      clock: systemClock,
    })
  expect(() => make('http://site-b.example.com', false)).toThrow(PlaintextRefusedError)
  for (const [url, allowed] of [
    ['http://site-b.example.com', true],
    ['https://site-b.example.com', false],
    ['http://localhost:1', false],
  ] as const) {
    await make(url, allowed).close()
  }
})
