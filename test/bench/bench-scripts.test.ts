/** The command lines of the benchmarks, and what they leave when somebody stops them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const scripts = fileURLToPath(new URL('../../scripts', import.meta.url))
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'comio-bench-test-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function run(script: string, ...args: string[]) {
  const child = spawn(process.execPath, [join(scripts, script), ...args])
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (text) => {
    stdout += text
  })
  child.stderr.on('data', (text) => {
    stderr += text
  })
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

test('every benchmark explains its options, and refuses others', async () => {
  const names = (await readdir(scripts)).filter((name) => name.startsWith('bench-'))
  expect(names).toHaveLength(6)
  await Promise.all(
    names.map(async (name) => {
      const help = await run(name, '--help')
      expect(help).toMatchObject({ code: 0, stderr: '' })
      expect(help.stdout).toContain(`usage: node scripts/${name}`)
      const wrong = await run(name, '--no-such-thing')
      expect(wrong).toMatchObject({ code: 2, stdout: '' })
      expect(wrong.stderr).toContain("Unknown option '--no-such-thing'")
    }),
  )
})

test('a value that means nothing is refused before anything is measured', async () => {
  const wrong = [
    ['bench-http.ts', '--rounds', '1.5', "--rounds takes a whole number from 1, not '1.5'"],
    ['bench-http.ts', '--only', 'large,tiny', '--only takes some of small,large,mixed'],
    ['bench-sync.ts', '--seconds', '-', '--seconds takes a number above 0'],
    ['bench-reclaim.ts', '--size', 'much', "--size takes a size, such as 2GiB, not 'much'"],
    ['bench-reclaim.ts', '--live', '100', '--live takes a whole number from 1 to 99'],
  ] as const
  for (const [script, option, value, message] of wrong) {
    const { code, stdout, stderr } = await run(script, option, value)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(message)
  }
})

test.each(['SIGINT', 'SIGTERM'] as const)('%s takes folders and children along', async (signal) => {
  const program = `
    import { startChild } from ${JSON.stringify(join(scripts, 'bench/child.ts'))}
    import { makeBenchFolder } from ${JSON.stringify(join(scripts, 'bench/site.ts'))}
    await makeBenchFolder(${JSON.stringify(folder)})
    const { pid } = await startChild(['sh', '-c', 'echo ready; exec sleep 600'], () => true)
    console.info(pid)
    setInterval(() => undefined, 1000)`
  const args = ['--input-type=module', '-e', program]
  const bench = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(bench.stdout, 'data')
  expect(await readdir(folder)).toHaveLength(1)
  bench.kill(signal)
  const [code] = await once(bench, 'exit')
  expect(code).toBe(signal === 'SIGINT' ? 130 : 143)
  expect(await readdir(folder)).toEqual([])
  await expect.poll(() => isRunning(Number(line)), { timeout: 20_000 }).toBe(false)
})

/** One that is dead and that nobody has asked about yet does not run. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat !== '' && !stat.slice(stat.lastIndexOf(')')).startsWith(') Z')
}
