"""What answers on WebSockets."""

from channels.generic.websocket import AsyncWebsocketConsumer


class Echo(AsyncWebsocketConsumer):
    """Sends back what comes, and leaves when told to."""

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "leave":
            await self.close(code=4001, reason="as you say")
        else:
            await self.send(text_data=text_data, bytes_data=bytes_data)
