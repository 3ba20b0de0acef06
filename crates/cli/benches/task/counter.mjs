// The same counter for Restate: adds to the number kept for a key.
import * as restate from "@restatedev/restate-sdk";

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
