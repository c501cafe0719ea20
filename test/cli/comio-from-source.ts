/** The program as its sources stand, without a build: what bin/comio does with dist. */
import { runCli } from '../../src/cli/run.ts'

await runCli(process.argv.slice(2))
