/** A remote behind a TLS proxy, with a certificate of one's own, as the manual shows it. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { accepting, shippingTo } from './pair-settings.ts'
import { runProgram } from './run-program.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { TestBed } from './site-process.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('TLS is not tried: openssl is not on this machine\n')

let bed: TestBed
const sockets = new Set<TLSSocket>()

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test.skipIf(!hasOpenssl)(
  'a remote behind https gets everything once its certificate is known',
  async () => {
    const b = await bed.site('b', accepting).start()
    const proxy = await startTlsProxy(b.url)
    try {
      const settings = shippingTo(`https://localhost:${(proxy.address() as AddressInfo).port}`)
      const a = await bed.site('a', settings).start()
      await a.put('/docs/small', 'small')
      await a.put('/docs/large', bytesOf(1, 3 * 2 ** 20))
      const unknown = await a.statusWhen('A does not trust the certificate', ({ remotes }) =>
        remotes.some(({ last_error }) => last_error !== null),
      )
      expect(unknown.remotes[0]?.last_error).toMatch(/certificate/)
      expect(unknown).toMatchObject({ pending: 3, events_failed: 0 })
      await a.stop()
      await a.start({ ...settings, env: { NODE_EXTRA_CA_CERTS: bed.path('cert.pem') } })
      await a.shipped()
      await expectEqualBuckets([a, b], 'docs', 1)
    } finally {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    }
  },
)

async function startTlsProxy(targetUrl: string): Promise<Server> {
  const files = ['-keyout', bed.path('key.pem'), '-out', bed.path('cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const made = await runProgram('openssl', ['req', '-x509', ...curve, ...files, ...subject])
  expect(made.code, made.stderr).toBe(0)
  const [key, cert] = await Promise.all(
    ['key.pem', 'cert.pem'].map((name) => readFile(bed.path(name))),
  )
  const server = createServer({ key, cert }, (socket) => {
    sockets.add(socket)
    const target = connect(Number(new URL(targetUrl).port), '127.0.0.1')
    // Either end may go at any time: that ends the other.
    pipeline(socket, target, socket).catch(() => target.destroy())
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  return server
}
