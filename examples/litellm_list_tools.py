"""The first SDK example of LiteLLM's MCP page, with ``toolbridge`` for ``litellm`` and ``mcp``.

Run it in this folder, with ``OPENAI_API_KEY`` set; the server is ``mcp_server.py`` beside it.
"""

import asyncio
import json

# Create server parameters for stdio connection
from toolbridge.mcp import ClientSession, StdioServerParameters
from toolbridge.mcp.client.stdio import stdio_client
import os
import toolbridge
from toolbridge import experimental_mcp_client


server_params = StdioServerParameters(
    command="python3",
    # Make sure to update to the full absolute path to your mcp_server.py file
    args=["./mcp_server.py"],
)


async def main() -> None:
    async with stdio_client(server_params) as (read, write):
        async with ClientSession(read, write) as session:
            # Initialize the connection
            await session.initialize()

            # Get tools
            tools = await experimental_mcp_client.load_mcp_tools(session=session, format="openai")
            print("MCP TOOLS: ", tools)

            messages = [{"role": "user", "content": "what's (3 + 5)"}]
            llm_response = await toolbridge.acompletion(
                model="gpt-4o",
                api_key=os.getenv("OPENAI_API_KEY"),
                messages=messages,
                tools=tools,
            )
            print("LLM RESPONSE: ", json.dumps(llm_response, indent=4, default=str))


asyncio.run(main())
