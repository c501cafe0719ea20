// A process that a test kills: it starts what the demo starts, says so, and never cleans up.
import { DemoFolder } from '../../src/demo/demo-folder.ts'
import { Reaper } from '../../src/demo/reaper.ts'
import { SiteProcess } from '../../src/demo/site-process.ts'

const binPath = process.argv[2] ?? ''
const folder = await DemoFolder.make()
await folder.writeConfigB(0)
const reaper = Reaper.start(folder.path)
const site = new SiteProcess({ site: 'B', binPath, folder, reaper })
await site.start()
process.stdout.write(`${JSON.stringify({ folder: folder.path, pid: site.pid })}\n`)
setInterval(() => undefined, 60_000)
