import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BenchProgress } from '../../src/bench/bench-report.ts'
import { type BenchOptions, runBench } from '../../src/bench/run-bench.ts'
import { sendError, TinyS3Server } from './tiny-s3-server.ts'

let site: TinyS3Server

beforeEach(async () => {
  site = await TinyS3Server.start()
})

afterEach(async () => {
  await site.stop()
})

function options(more: Partial<BenchOptions> = {}): BenchOptions {
  return { url: site.url, files: 20, sizeBytes: 1000, concurrency: 4, ...more }
}

describe('runBench', () => {
  test('puts, gets and deletes every object once and leaves nothing behind', async () => {
    const progress: BenchProgress[] = []
    const report = await runBench(options({ onProgress: (now) => progress.push(now) }))
    expect(report).toMatchObject({ ok: true, mismatches: 0, interrupted: false, failures: [] })
    expect(
      report.phases.map(({ phase, ops, errors, bytes }) => [phase, ops, errors, bytes]),
    ).toEqual([
      ['put', 20, 0, 20_000],
      ['get', 20, 0, 20_000],
      ['delete', 20, 0, 0],
    ])
    expect(report.bucket).toMatch(/^comio-bench-[0-9a-f]{16}$/)
    expect(site.buckets.size).toBe(0)
    expect(progress).toHaveLength(60)
    expect(progress.at(19)).toMatchObject({ phase: 'put', done: 20, total: 20, bytes: 20_000 })
    for (const phase of report.phases) {
      const { p50_ms, p90_ms, p99_ms, max_ms } = phase
      const latencies = [p50_ms, p90_ms, p99_ms, max_ms].map((value) => value ?? Number.NaN)
      expect(latencies).toEqual(latencies.toSorted((a, b) => a - b))
      expect(latencies[0]).toBeGreaterThan(0)
    }
  })

  test('every object has bytes of its own, large ones are streamed', async () => {
    const seen = new Set<string>()
    const sizeBytes = 2 ** 20 + 1
    let lengths: (string | undefined)[] = []
    site.fault = (request) => {
      if (request.method !== 'PUT' || !request.url?.includes('/bench/')) return false
      lengths = [...lengths, request.headers['content-length']]
      return false
    }
    const report = await runBench(
      options({
        files: 5,
        sizeBytes,
        onProgress: ({ phase }) => {
          if (phase !== 'get') return
          for (const objects of site.buckets.values()) {
            for (const { body } of objects.values()) seen.add(body.toString('hex', 0, 32))
          }
        },
      }),
    )
    expect(report.ok).toBe(true)
    expect(lengths).toEqual(Array.from({ length: 5 }, () => String(sizeBytes)))
    expect(seen.size).toBe(5)
  })

  test('finds an object that came back with other bytes', async () => {
    let spoilt = false
    site.fault = (request) => {
      const objects = site.buckets.values().next().value
      if (request.method !== 'GET' || objects === undefined || spoilt) return false
      const [key, object] = [...objects.entries()][7] ?? []
      if (key === undefined || object === undefined || request.url?.includes('?')) return false
      spoilt = true
      object.body.writeUInt8(object.body.readUInt8(500) ^ 1, 500)
      objects.set(key, object)
      return false
    }
    const report = await runBench(options())
    expect(report).toMatchObject({ ok: false, mismatches: 1 })
    expect(report.phases[1]).toMatchObject({ ops: 19, errors: 1 })
    expect(report.failures[0]).toContain('other bytes')
    expect(site.buckets.size).toBe(0)
  })

  test('counts refused requests, says which, and goes on', async () => {
    let refused = 0
    site.fault = (request, response) => {
      if (request.method !== 'PUT' || !request.url?.includes('/bench/') || refused === 3)
        return false
      refused++
      sendError(response, 503, 'SlowDown')
      return true
    }
    const report = await runBench(options())
    expect(report.ok).toBe(false)
    expect(report.phases.map(({ ops, errors }) => [ops, errors])).toEqual([
      [17, 3],
      [17, 0],
      [17, 0],
    ])
    expect(report.failures).toHaveLength(3)
    expect(report.failures[0]).toContain('503 SlowDown')
    expect(site.buckets.size).toBe(0)
  })

  test('gives up when nothing goes well any more', async () => {
    site.fault = (request, response) => {
      if (request.method !== 'PUT' || !request.url?.includes('/bench/')) return false
      sendError(response, 507, 'InsufficientStorage')
      return true
    }
    const report = await runBench(options({ files: 5000 }))
    expect(report.ok).toBe(false)
    expect(report.phases).toHaveLength(1)
    expect(report.phases[0]?.errors).toBeLessThan(110)
    expect(report.failures.at(-1)).toContain('given up')
    expect(site.buckets.size).toBe(0)
  })

  test('an abort in the middle removes what was made', async () => {
    const stop = new AbortController()
    const report = await runBench(
      options({
        files: 1000,
        signal: stop.signal,
        onProgress: ({ done }) => {
          if (done === 30) stop.abort()
        },
      }),
    )
    expect(report).toMatchObject({ ok: false, interrupted: true })
    expect(report.phases[0]?.ops).toBeLessThan(40)
    expect(site.buckets.size).toBe(0)
  })

  test('removes an object that a broken-off upload stored late', async () => {
    let late = true
    site.fault = (request) => {
      const [name] = site.buckets.keys()
      if (request.method !== 'DELETE' || request.url !== `/${name}` || !late) return false
      late = false
      site.buckets.get(name ?? '')?.set('bench/00000001', { body: Buffer.from('x'), headers: {} })
      return false
    }
    const report = await runBench(options())
    expect(late).toBe(false)
    expect(report.ok).toBe(true)
    expect(site.buckets.size).toBe(0)
  })

  test('says so when the bucket could not be removed', async () => {
    site.fault = (request, response) => {
      if (request.method !== 'DELETE' || request.url?.includes('/bench/')) return false
      sendError(response, 403, 'AccessDenied')
      return true
    }
    const report = await runBench(options())
    expect(report.ok).toBe(false)
    expect(report.failures).toEqual([expect.stringContaining('could not be removed')])
  })

  test('a given bucket that holds anything is refused and left alone', async () => {
    site.buckets.set('mine', new Map([['precious', { body: Buffer.from('x'), headers: {} }]]))
    await expect(runBench(options({ bucket: 'mine' }))).rejects.toMatchObject({
      code: 'BENCH_BUCKET_IN_USE',
    })
    expect([...(site.buckets.get('mine')?.keys() ?? [])]).toEqual(['precious'])
    expect(site.requests.filter((request) => !/^(GET|HEAD)/.test(request))).toEqual([])
  })

  test('a given bucket that is empty is used and stays; a new one goes', async () => {
    site.buckets.set('mine', new Map())
    expect(await runBench(options({ bucket: 'mine' }))).toMatchObject({ ok: true, bucket: 'mine' })
    expect(site.buckets.get('mine')?.size).toBe(0)
    expect(await runBench(options({ bucket: 'new-one' }))).toMatchObject({ ok: true })
    expect([...site.buckets.keys()]).toEqual(['mine'])
  })

  test('a site that is not there is an error, not a report', async () => {
    const gone = await TinyS3Server.start()
    const { url } = gone
    await gone.stop()
    await expect(runBench(options({ url }))).rejects.toMatchObject({
      code: 'S3_UNREACHABLE',
    })
  })
})
