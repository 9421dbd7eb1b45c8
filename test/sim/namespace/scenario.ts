// Owns what a history of the simulated file nodes is made of. All of it follows from these values; chance is drawn from the
// seed.
export type Scenario = {
  readonly seed: number;
  readonly nodes: number;
  readonly seconds: number;
  /** Changes wait about so long for each other. */
  readonly changeEveryMs: number;
  /** Trees that changes are made in, each its own object for the checker. */
  readonly trees: number;
  /** Each about so often; 0: never. */
  readonly everyMs: {
    readonly cut: number;
    readonly crash: number;
    readonly outage: number;
    readonly hang: number;
    readonly slow: number;
    readonly storage: number;
    readonly clock: number;
    readonly operator: number;
    /** A node does not hear of changes, and is heard itself. */
    readonly lag: number;
    /** All nodes at once, and the store is away when they are back. */
    readonly power: number;
  };
  /** Only between nodes and the store. */
  readonly cutsStoreOnly: boolean;
  /** A node that crashed is back after, at most. */
  readonly downMs: number;
  /** Of the nodes: a copy takes up to a second and a half. */
  readonly slowDisks: boolean;
  /** In which every change must be complete, unless 0. */
  readonly completeWithinMs: number;
  /** Of each fault, at most. */
  readonly forMs: number;
  /** Of messages that take up to a second and a half. */
  readonly stragglers: number;
  /** Clocks of nodes run so much faster or slower, at most. */
  readonly drift: number;
};

const NONE = {
  cut: 0,
  crash: 0,
  outage: 0,
  hang: 0,
  slow: 0,
  storage: 0,
  clock: 0,
  operator: 0,
  lag: 0,
  power: 0,
} as const;

function plain(seed: number): Scenario {
  return {
    seed,
    nodes: 3 + (seed % 3),
    seconds: 60,
    changeEveryMs: 30,
    trees: 6,
    everyMs: NONE,
    forMs: 8_000,
    stragglers: 0.002,
    drift: 0.03,
    cutsStoreOnly: false,
    downMs: 4_000,
    slowDisks: false,
    completeWithinMs: 0,
  };
}

const attack =
  (everyMs: Partial<Scenario['everyMs']>, more: Partial<Scenario> = {}) =>
  (seed: number) => ({
    ...plain(seed),
    ...more,
    everyMs: { ...NONE, ...everyMs },
  });

export const ATTACKS = {
  calm: attack({}),
  cuts: attack({ cut: 2_500 }),
  crashes: attack({ crash: 3_000 }),
  outages: attack({ outage: 9_000, cut: 4_000 }),
  outagesAndCrashes: attack({ outage: 9_000, crash: 2_500, cut: 5_000 }),
  hangs: attack({ hang: 2_500 }),
  slow: attack({ slow: 2_000 }, { completeWithinMs: 8_000 }),
  lags: attack({ lag: 1_500, operator: 4_000 }, { changeEveryMs: 10 }),
  deaf: attack({ lag: 8_000 }, { forMs: 20_000 }),
  stragglers: attack({ cut: 1_500 }, { stragglers: 0.2 }),
  peers: attack({ cut: 900 }, { cutsStoreOnly: true, forMs: 10_000 }),
  peersAndCrashes: attack({ cut: 900, crash: 1_500 }, { cutsStoreOnly: true, forMs: 10_000 }),
  peersAndOperators: attack({ cut: 900, operator: 1_500 }, { cutsStoreOnly: true, forMs: 10_000 }),
  restarts: attack({ cut: 900, crash: 500 }, { cutsStoreOnly: true, forMs: 6_000, downMs: 200 }),
  slowDisks: attack({ power: 9_000 }, { slowDisks: true }),
  power: attack({ power: 9_000, slow: 3_000 }, { changeEveryMs: 10 }),
  storages: attack({ storage: 4_000 }),
  clocks: attack({ clock: 1_500, cut: 5_000 }),
  operators: attack({ operator: 2_500, crash: 15_000 }),
  two: attack({ cut: 3_000, crash: 6_000, outage: 15_000 }, { nodes: 2, changeEveryMs: 20 }),
  all: attack({
    cut: 5_000,
    crash: 8_000,
    outage: 25_000,
    hang: 8_000,
    slow: 8_000,
    storage: 15_000,
    clock: 8_000,
    operator: 10_000,
    lag: 10_000,
    power: 40_000,
  }),
} as const satisfies Record<string, (seed: number) => Scenario>;
export type AttackName = keyof typeof ATTACKS;
