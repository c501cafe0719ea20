import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.{ts,tsx}'],
          exclude: ['test/e2e/**', 'test/large/**'],
          // An upper bound, not a measure: on a machine with other things to do, what takes 3 s takes 30. What
          // waits in vain says what it waited for after a minute.
          testTimeout: 90_000,
          hookTimeout: 60_000,
          // On two cores the default is one, which would also put these after the others.
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Real processes, disks and kills, after the rest. They wait a lot, for disks and for one
        // another, so three files at a time cost little more than two.
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          globalSetup: ['scripts/build-before-tests.ts'],
          maxWorkers: 3,
          testTimeout: 300_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
