// The same counter for Restate: adds to the number kept for a key.
import * as restate from "@restatedev/restate-sdk";

// The SDK needs it, and node 20 does not have it.
Promise.withResolvers ??= () => {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
};

const counter = restate.object({
  name: "Counter",
  handlers: {
    add: async (ctx, message) => {
      const sum = ((await ctx.get("sum")) ?? 0) + message.add;
      ctx.set("sum", sum);
      return sum;
    },
  },
});

restate.serve({ services: [counter], port: Number(process.argv[2]) });
